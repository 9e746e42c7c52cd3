-- What a server offers to replication, and what its role may do: one row.
select pg_catalog.current_setting('wal_level') as wal_level,
       pg_catalog.pg_is_in_recovery() as in_recovery,
       pg_catalog.current_setting('max_replication_slots')::int8
         - (select count(*) from pg_catalog.pg_replication_slots) as free_slots,
       pg_catalog.current_setting('max_wal_senders')::int8
         -- Of pg_stat_activity, a role that may not look at others' sessions is not told which of them are senders.
         - (select count(*) from pg_catalog.pg_stat_replication) as free_senders,
       pg_catalog.current_setting('max_logical_replication_workers')::int8
         - (select count(*) from pg_catalog.pg_subscription where subenabled) as free_workers,
       -- From 18 on by a setting of its own.
       coalesce(pg_catalog.current_setting('max_active_replication_origins', true),
                pg_catalog.current_setting('max_replication_slots'))::int8 as most_origins,
       -- Before 14 only a superuser can, whoever may execute it.
       r.rolsuper
         or pg_catalog.current_setting('server_version_num')::int4 >= 140000
            and pg_catalog.has_function_privilege('pg_catalog.pg_show_replication_origin_status()', 'execute') as sees_origins,
       pg_catalog.current_setting('max_slot_wal_keep_size', true) as slot_limit,
       r.rolsuper as superuser,
       r.rolreplication or r.rolsuper as may_replicate,
       r.rolsuper or exists (select from pg_catalog.pg_roles g
                             where g.rolname = 'pg_create_subscription' and pg_catalog.pg_has_role(g.oid, 'usage')) as may_subscribe,
       pg_catalog.pg_has_role(d.datdba, 'usage') as owns_database,
       pg_catalog.has_database_privilege(d.oid, 'create') as may_create,
       (select count(*) from pg_catalog.pg_prepared_xacts p where p.database = d.datname) as prepared,
       -- A slot waits for those of every database.
       (select count(*) from pg_catalog.pg_prepared_xacts) as prepared_anywhere,
       (select pg_catalog.string_agg(pg_catalog.quote_ident(o.rolname)
                 || case when s.setdatabase = 0 then '' else ' (in this database)' end, ', ' order by o.rolname)
        from pg_catalog.pg_db_role_setting s
        join pg_catalog.pg_roles o on o.oid = s.setrole
        cross join lateral pg_catalog.unnest(s.setconfig) as c (setting)
        where s.setdatabase in (0, d.oid)
          and c.setting ~* '^default_transaction_read_only=(of|off|f|fa|fal|fals|false|n|no|0)$') as unfenced_roles,
       (select count(*) from pg_catalog.pg_stat_activity a
        where a.datname = d.datname and a.backend_type is null and a.usesysid is not null) as unseen_sessions,
       (select pg_catalog.string_agg(pg_catalog.quote_ident(s.subname), ', ' order by s.subname)
        from pg_catalog.pg_subscription s
        where s.subdbid = d.oid and s.subenabled and s.subname not like 'pgconvoy\_%') as other_subscriptions,
       array(select s.subname::text
             from pg_catalog.pg_subscription s
             where s.subdbid = d.oid and s.subenabled and s.subname like 'pgconvoy\_%'
             order by s.subname) as enabled_follows,
       -- Event triggers that fire for our statements: those of the application, which an extension has not brought.
       array(select t.evtname::text || case t.evtenabled when 'O' then '' else ' (ALWAYS or REPLICA)' end
             from pg_catalog.pg_event_trigger t
             where t.evtenabled <> 'D' and t.evtevent in ('ddl_command_start', 'ddl_command_end', 'sql_drop')
               and (t.evtenabled <> 'O' or not r.rolsuper)
               and (t.evttags is null
                    or t.evttags && array['CREATE PUBLICATION', 'ALTER PUBLICATION', 'DROP PUBLICATION', 'CREATE SUBSCRIPTION',
                                          'ALTER SUBSCRIPTION', 'DROP SUBSCRIPTION', 'COMMENT', 'CREATE SCHEMA', 'CREATE TABLE',
                                          'ALTER TABLE', 'DROP SCHEMA', 'DROP TABLE'])
               and not exists (select from pg_catalog.pg_depend p
                               where p.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass and p.objid = t.oid and p.deptype = 'e')
             order by t.evtname) as event_triggers,
       -- From 17 on. Whoever logs in to a closed side may only read there, so that one that writes keeps everybody out.
       array(select t.evtname::text
             from pg_catalog.pg_event_trigger t
             join pg_catalog.pg_proc p on p.oid = t.evtfoid
             where t.evtevent = 'login' and t.evtenabled in ('O', 'A') and p.prosrc !~* 'transaction_read_only'
             order by t.evtname) as login_triggers,
       exists (select from pg_catalog.pg_largeobject_metadata) as large_objects,
       (select pg_catalog.substr(c.setting, pg_catalog.strpos(c.setting, '=') + 1)
        from pg_catalog.pg_db_role_setting s
        cross join lateral pg_catalog.unnest(s.setconfig) as c (setting)
        where s.setdatabase = d.oid and s.setrole = 0
          and c.setting like 'default_transaction_read_only=%') as read_only_setting
from pg_catalog.pg_database d
cross join pg_catalog.pg_roles r
where d.datname = pg_catalog.current_database()
  and r.rolname = current_user
