-- Where the server is at this moment: asked twice, it says whether anybody writes. Rows of the user's tables are counted with a delay
-- of up to a second; on a standby they are not counted at all, and only the transactions of its primary tell.
select (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000)::int8 as at_ms,
       pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) as next_transaction,
       (select coalesce(pg_catalog.sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::int8
        from pg_catalog.pg_stat_user_tables s) as rows_written
