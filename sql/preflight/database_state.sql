-- The database's age in transaction ids and in multixacts, and failed checksums in it and in what all databases share: null before
-- version 12, and where there are no checksums.
select pg_catalog.age(d.datfrozenxid)::int8 as transactions,
       pg_catalog.mxid_age(d.datminmxid)::int8 as multixacts,
       (select pg_catalog.sum((j.row ->> 'checksum_failures')::int8)::int8
        from pg_catalog.pg_stat_database s
        cross join lateral (select pg_catalog.to_jsonb(s) as row) j
        where s.datid in (0, d.oid)) as checksum_failures,
       (select pg_catalog.max(j.row ->> 'checksum_last_failure')
        from pg_catalog.pg_stat_database s
        cross join lateral (select pg_catalog.to_jsonb(s) as row) j
        where s.datid in (0, d.oid)) as last_checksum_failure,
       coalesce((select pg_catalog.sum(pg_catalog.pg_table_size('pg_catalog.pg_largeobject'::regclass)))::int8, 0) as large_object_bytes
from pg_catalog.pg_database d
where d.datname = pg_catalog.current_database()
