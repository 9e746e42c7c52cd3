-- Of some roles ($1), those that there are, and whether they may log in.
select r.rolname::text as name,
       r.rolcanlogin as may_log_in,
       r.rolname = current_user as is_ours
from pg_catalog.pg_roles r
where r.rolname::text = any ($1::text[])
order by r.rolname
