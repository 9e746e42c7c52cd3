-- How many large objects there are among :oids (an array literal such as '{1,2}'), and how many bytes they hold together:
-- read to the end, part by part, without asking for their size, as a check on the query that copies them.
with recursive part as (
    select m.oid, 0::int8 as number, pg_catalog.length(pg_catalog.lo_get(m.oid, 0, 1048576)) as bytes
    from pg_catalog.pg_largeobject_metadata m
    where m.oid = any (:oids::oid[])
    union all
    select p.oid, p.number + 1, pg_catalog.length(pg_catalog.lo_get(p.oid, (p.number + 1) * 1048576, 1048576))
    from part p
    where p.bytes = 1048576
)
select count(distinct oid), coalesce(sum(bytes), 0)
from part
