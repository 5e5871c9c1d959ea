import { serve } from "../_shared/forward.ts";

serve("sweep-turns");
