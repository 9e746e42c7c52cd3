-- Prepared transactions of this database, the oldest first.
select p.gid as name,
       p.owner::text as role,
       pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.prepared)::int8 as seconds
from pg_catalog.pg_prepared_xacts p
where p.database = pg_catalog.current_database()
order by p.prepared, p.gid
