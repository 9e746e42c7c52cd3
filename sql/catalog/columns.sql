-- Columns of the tables and materialized views given by OID, in attribute order. Servers from 12 on.
select a.attrelid as relation,
       a.attname::text as name,
       a.atttypid as type,
       a.attgenerated <> '' as generated,
       a.attgenerated = 'v' as virtual
from pg_catalog.pg_attribute a
where a.attrelid = any ($1)
  and a.attnum > 0
  and not a.attisdropped
order by a.attrelid, a.attnum
