-- What this transaction has written to so far, and whether the server keeps count of that at all. Rows alone: what was truncated is
-- known anyway. A materialized view that was refreshed, and temporary tables, are left out.
select n.nspname::text as schema,
       c.relname::text as name,
       pg_catalog.current_setting('track_counts') as counts
  from (select 1) as once
  left join (pg_catalog.pg_class c
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace)
    on c.relkind = 'r'
   and c.relpersistence <> 't'
   and n.nspname !~ '^pg_'
   and n.nspname <> 'information_schema'
   and pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
       + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
       + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) > 0
 order by 1, 2
