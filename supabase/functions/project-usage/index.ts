import { serve } from "../_shared/forward.ts";

serve("project-usage");
