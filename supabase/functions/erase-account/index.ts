import { serve } from "../_shared/forward.ts";

serve("erase-account");
