-- Columns of the tables and materialized views given by OID, in attribute order. Servers up to 11, which know no
-- generated columns.
select a.attrelid as relation,
       a.attname::text as name,
       a.atttypid as type,
       false as generated,
       false as virtual
from pg_catalog.pg_attribute a
where a.attrelid = any ($1)
  and a.attnum > 0
  and not a.attisdropped
order by a.attrelid, a.attnum
