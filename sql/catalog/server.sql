-- Who and what a server is: one row.
select current_setting('server_version_num')::int4 as version,
       (select system_identifier from pg_catalog.pg_control_system()) as system_identifier,
       d.oid as database_oid,
       d.datname::text as database,
       current_user::text as role,
       r.rolsuper as superuser,
       r.rolsuper or r.rolcreatedb as creates_databases,
       pg_catalog.pg_is_in_recovery() as in_recovery,
       pg_catalog.pg_is_in_recovery()
         and current_setting('hot_standby_feedback') = 'off'
         and (current_setting('max_standby_streaming_delay') <> '-1' or coalesce(a.delay, '-1') <> '-1') as cancels_reads,
       current_setting('max_standby_streaming_delay') as streaming_delay,
       a.delay as archive_delay,
       pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       current_setting('block_size')::int4 as block_size,
       (select setting::int8 * 8192 from pg_catalog.pg_settings where name = 'shared_buffers') as shared_buffers_bytes,
       (select setting::int8 * 1024 from pg_catalog.pg_settings where name = 'maintenance_work_mem') as maintenance_work_mem_bytes,
       exists (select from pg_catalog.pg_namespace where nspname = 'pgconvoy') as has_pgconvoy_schema,
       (select pg_catalog.array_agg(v.word order by s.name, v.place)
        from pg_catalog.pg_settings s
        cross join lateral (values (1, s.name::text), (2, coalesce(s.reset_val, '')::text)) v(place, word)
        where s.name in ('DateStyle', 'IntervalStyle', 'TimeZone', 'bytea_output', 'extra_float_digits', 'lc_monetary', 'xmloption')) as value_settings,
       array(select s.name::text from pg_catalog.pg_settings s
             where s.name in ('ignore_checksum_failure', 'zero_damaged_pages') and s.reset_val = 'on'
             order by s.name) as passing_over_damage,
       current_setting('max_locks_per_transaction')::int8 as locks_per_session,
       current_setting('max_locks_per_transaction')::int8
         * (current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8) as lock_slots
from pg_catalog.pg_database d
cross join pg_catalog.pg_roles r
-- It matters to a standby that reads an archive, as restore_command (a setting since 12) says.
cross join (select case when coalesce(current_setting('restore_command', true), '') <> ''
                        then current_setting('max_standby_archive_delay') end as delay) a
where d.datname = current_database()
  and r.rolname = current_user
