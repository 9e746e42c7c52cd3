-- Tables of extensions that hold rows and are no configuration: their rows are in no dump.
select e.extname::text as extension,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as object
from pg_catalog.pg_extension e
join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
join pg_catalog.pg_class c on d.classid = 'pg_catalog.pg_class'::regclass and c.oid = d.objid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and not (c.oid = any (coalesce(e.extconfig, '{}')))
  and pg_catalog.pg_relation_size(c.oid) > 0
order by 1, 2
