-- Other people's sessions in this database, the longest transaction first; what we may not see of them is null.
select a.pid as holder,
       a.application_name as application,
       a.usename::text as role,
       pg_catalog.host(a.client_addr) as address,
       a.backend_type as kind,
       a.state as state,
       coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.state_change), 0)::int8 as seconds,
       a.query as query,
       null::text as held,
       a.backend_xid is not null as has_written,
       a.xact_start is not null as in_transaction,
       coalesce(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start), 0)::int8 as transaction_seconds
from pg_catalog.pg_stat_activity a
where a.datname = pg_catalog.current_database()
  and a.pid <> pg_catalog.pg_backend_pid()
  and a.usesysid is not null
  and coalesce(a.backend_type, 'client backend') = 'client backend'
  and a.application_name !~ '^pgconvoy:'
order by a.xact_start nulls last, a.pid
