-- Removes large objects, those of them that are there. $1: their OIDs.
select pg_catalog.lo_unlink(m.oid) as removed
  from pg_catalog.pg_largeobject_metadata m
 where m.oid = any ($1::oid[]);
