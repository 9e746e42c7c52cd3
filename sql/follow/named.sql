-- What tables are called by now, of which the OIDs ($1) are known, whether we may read them or not; one that was dropped is not among them.
select c.oid as oid,
       n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = any ($1::oid[])
  and c.relkind in ('r', 'p')
order by c.oid
