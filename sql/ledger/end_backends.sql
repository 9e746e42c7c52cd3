-- Ends the backends of sessions that were given up, and says which of them are still there. $1: their process ids.
select pid, pg_catalog.pg_terminate_backend(pid) as signalled
  from pg_catalog.pg_stat_activity
 where pid = any ($1::int4[])
   and usesysid = (select oid from pg_catalog.pg_roles where rolname = current_user)
   and application_name like 'pgconvoy:%'
   and pid <> pg_catalog.pg_backend_pid();
