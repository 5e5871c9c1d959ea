import { serve } from "../_shared/forward.ts";

serve("export-conversation");
