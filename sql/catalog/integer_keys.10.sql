-- Tables whose primary key is a single column of an integer type: those that can be cut into ranges of keys.
-- Servers of version 10, which know no columns beside the key.
select i.indrelid as relation,
       a.attname::text as name
from pg_catalog.pg_index i
join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
where i.indisprimary
  and i.indisvalid
  and i.indnatts = 1
  and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
