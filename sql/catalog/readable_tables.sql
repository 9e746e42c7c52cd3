-- Ordinary tables of this database that we may read: those to lock before the snapshot is taken.
select c.oid,
       n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  and pg_catalog.has_table_privilege(c.oid, 'SELECT')
order by c.oid
