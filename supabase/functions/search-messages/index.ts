import { serve } from "../_shared/forward.ts";

serve("search-messages");
