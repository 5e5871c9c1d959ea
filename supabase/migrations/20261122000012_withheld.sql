-- Tables that only the backend touches. Row-level security without a policy keeps signed-in users
-- out as well; written out, it is not taken for one that was forgotten.

create policy withheld on public.import_parts
    for select
    to authenticated
    using (false);

create policy withheld on public.retention_policies
    for select
    to authenticated
    using (false);

create policy withheld on public.legal_holds
    for select
    to authenticated
    using (false);

create policy withheld on public.erasure_receipts
    for select
    to authenticated
    using (false);
