-- Postgres lets everybody run a new function. In the two schemas that hold nothing but ours only those
-- may whom a function names below it; in public, where a project has more, each function is withheld
-- by itself.
revoke all on all routines in schema private from public;
revoke all on all routines in schema search from public;
