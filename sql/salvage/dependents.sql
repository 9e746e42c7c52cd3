-- Views that read any of these relations, also by way of each other; $1 are the relations' names, quoted where they must be.
with recursive reading (oid) as (
  select named.name::pg_catalog.regclass::oid
  from pg_catalog.unnest($1::text[]) as named (name)
  union
  select r.ev_class
  from reading
  join pg_catalog.pg_depend d
    on d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = reading.oid
   and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
  join pg_catalog.pg_rewrite r on r.oid = d.objid
)
select n.nspname::text as schema,
       c.relname::text as name
from reading
join pg_catalog.pg_class c on c.oid = reading.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm')
order by c.oid
