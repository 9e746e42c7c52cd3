-- Who else gets the write-ahead log: standbys that are connected, those of them that commits wait for, and the archiver, which is
-- failing if its last attempt was none that succeeded.
select (select pg_catalog.count(*) from pg_catalog.pg_stat_replication) as connected,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_replication r where r.sync_state in ('sync', 'quorum')) as synchronous,
       (select pg_catalog.count(*) from pg_catalog.pg_stat_replication r where r.state is null) as hidden,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) as archiver_fails,
       a.failed_count as archiver_failures
from pg_catalog.pg_stat_archiver a
