import { serve } from "../_shared/forward.ts";

serve("import-conversation");
