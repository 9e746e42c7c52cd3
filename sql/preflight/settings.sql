-- Settings that decide whether a move gets through and how long it takes, as a session begins with them, whatever ours has set
-- since. What has a unit is an amount in bytes or milliseconds as well; -1 stays what it is.
select s.name::text as name,
       s.reset_val as value,
       s.unit as unit,
       case when s.vartype <> 'integer' then null
            when s.reset_val = '-1' then -1
            else s.reset_val::int8
                 * case when s.unit ~ '^[0-9]*kB$'
                             then coalesce(nullif(pg_catalog.substring(s.unit, '^[0-9]+'), '')::int8, 1) * 1024
                        when s.unit = 'MB' then 1048576
                        when s.unit = 's' then 1000
                        when s.unit = 'min' then 60000
                        else 1 end
       end as amount
from pg_catalog.pg_settings s
where s.reset_val is not null
  and s.name in ('archive_mode', 'checkpoint_timeout', 'commit_delay', 'data_checksums', 'max_wal_senders', 'max_wal_size',
                 'old_snapshot_threshold', 'shared_buffers', 'summarize_wal', 'synchronous_standby_names', 'temp_file_limit', 'wal_level', 'wal_sync_method')
order by s.name
