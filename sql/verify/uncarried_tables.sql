-- Tables that people have made in pg_catalog and information_schema: their rows are in no dump either.
select n.nspname::text as schema,
       c.relname::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('pg_catalog', 'information_schema')
  and c.relkind = 'r'
  and c.relpersistence <> 't'
  -- Below are those that the server was made with.
  and c.oid >= 16384
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1, 2
