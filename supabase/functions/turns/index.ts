import { serve } from "../_shared/forward.ts";

serve("turns");
