-- The content of large objects, in parts of 1 MB; :oids is an array literal such as '{1,2}'. An empty object has one
-- empty part. Each step depends on the one before, so the descriptor is open while the size is taken, and closed after.
select object.oid,
       part.number,
       pg_catalog.lo_get(object.oid, part.number::int8 * 1048576, 1048576)
from unnest(:oids::oid[]) as object (oid)
cross join lateral (select pg_catalog.lo_open(object.oid, 262144) as descriptor offset 0) as opened
cross join lateral (select pg_catalog.lo_lseek64(opened.descriptor, 0, 2) as bytes offset 0) as measured
cross join lateral (select pg_catalog.lo_close(opened.descriptor + (measured.bytes - measured.bytes)::int4) as result offset 0) as closed
cross join lateral pg_catalog.generate_series(0, case when closed.result = 0 then greatest(measured.bytes - 1, 0) / 1048576 end) as part (number)
