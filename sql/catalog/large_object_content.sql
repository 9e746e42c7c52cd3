-- The content of large objects, in parts of 1 MB; :oids is an array literal such as '{1,2}'. An empty object has one
-- empty part. Opening, measuring and closing nest in one subquery that depends on nothing but the OID: the planner may
-- remember results by what they depend on (Memoize), and descriptors are used again for other objects.
select object.oid,
       part.number::int4,
       pg_catalog.lo_get(object.oid, part.number * 1048576, 1048576)
from unnest(:oids::oid[]) as object (oid)
cross join lateral (
    select case when pg_catalog.lo_close(measured.descriptor) = 0 then measured.bytes end as bytes
    from (
        select opened.descriptor, pg_catalog.lo_lseek64(opened.descriptor, 0, 2) as bytes
        from (select pg_catalog.lo_open(object.oid, 262144) as descriptor offset 0) as opened
        offset 0
    ) as measured
    offset 0
) as size
cross join lateral pg_catalog.generate_series(0::int8, greatest(size.bytes - 1, 0) / 1048576) as part (number)
