-- Whether the source is a copy that nobody uses: who else is connected, whether the server cleans up by itself, and how much
-- was written since what is in memory went to disk: the log, and the transactions that changed anything; and how far back rows of this
-- database may name transactions.
select (select pg_catalog.count(*) from pg_catalog.pg_stat_activity a
        where a.backend_type = 'client backend' and a.pid <> pg_catalog.pg_backend_pid()
          and a.application_name !~ '^pgconvoy:') as others,
       pg_catalog.current_setting('autovacuum')::bool as autovacuum,
       pg_catalog.pg_wal_lsn_diff(
         case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
              else pg_catalog.pg_current_wal_insert_lsn() end,
         (pg_catalog.pg_control_checkpoint()).redo_lsn)::int8 as written_bytes,
       pg_catalog.current_setting('data_checksums')::bool as checksums,
       pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) as next_transaction,
       (select pg_catalog.split_part(c.next_xid, ':', 1)::int8 * 4294967296 + pg_catalog.split_part(c.next_xid, ':', 2)::int8
        from pg_catalog.pg_control_checkpoint() c) as next_at_checkpoint,
       -- 0 when the server was shut down, or has recovered; otherwise the oldest that was at work, or the next if there was none.
       (select c.oldest_active_xid::text::int8 in (0, pg_catalog.split_part(c.next_xid, ':', 2)::int8)
        from pg_catalog.pg_control_checkpoint() c) as idle_at_checkpoint,
       -- So many transactions back, rows may name some whose record counts.
       coalesce((select pg_catalog.age(d.datfrozenxid)::int8 from pg_catalog.pg_database d
                 where d.datname = pg_catalog.current_database()), 0) as unfrozen
