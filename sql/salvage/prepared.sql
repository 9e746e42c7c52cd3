-- Prepared transactions of this database, the oldest first. By the function alone: the view joins to it what may be damaged.
select p.gid as name,
       p.prepared::text as since
from pg_catalog.pg_prepared_xact() p
where p.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
order by p.prepared, p.gid
