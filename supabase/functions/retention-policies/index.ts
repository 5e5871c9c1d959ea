import { serve } from "../_shared/forward.ts";

serve("retention-policies");
