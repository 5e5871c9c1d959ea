import { serve } from "../_shared/forward.ts";

serve("ui-messages");
