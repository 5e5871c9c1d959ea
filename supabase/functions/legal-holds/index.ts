import { serve } from "../_shared/forward.ts";

serve("legal-holds");
