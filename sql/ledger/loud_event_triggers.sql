-- Event triggers that fire even under session_replication_role = replica, and how each of them is enabled.
select evtname::text as name,
       case evtenabled when 'A' then 'always' else 'replica' end as enabled
  from pg_catalog.pg_event_trigger
 where evtenabled in ('A', 'R')
 order by evtname
