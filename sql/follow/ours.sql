-- What was made in this database so that one follows another: kind, name, and what is written on it.
select 'publication' as kind, p.pubname::text as name,
       pg_catalog.obj_description(p.oid, 'pg_publication') as record
from pg_catalog.pg_publication p
where p.pubname like 'pgconvoy\_%'
union all
select 'subscription', s.subname::text,
       pg_catalog.obj_description(s.oid, 'pg_subscription')
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()
where s.subname like 'pgconvoy\_%'
union all
select 'slot', r.slot_name::text, null
from pg_catalog.pg_replication_slots r
where r.slot_name like 'pgconvoy\_%' and r.database = pg_catalog.current_database()
order by 1, 2
