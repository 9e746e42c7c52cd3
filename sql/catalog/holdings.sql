-- What a database holds that a move would collide with or bury: one row a kind of object, with a few names. An
-- extension, and what belongs to one, is not counted: a managed server brings its own.
-- $1: what a schema pgconvoy is called, if there is one: as whose it is (ledger_schema.sql) says.
with member as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), held as (
    -- A schema that holds an extension of somebody else stays with it; public may have been dropped and made anew.
    select case n.nspname when 'pgconvoy' then $1::text
                          when 'pgconvoy_follow' then 'record of a follow (pgconvoy unfollow)' else 'schema' end as kind,
           quote_ident(n.nspname) as name
    from pg_catalog.pg_namespace n
    where n.oid >= 16384 and n.nspname !~ '^pg_' and n.nspname <> 'public'
      and not exists (select from pg_catalog.pg_extension e where e.extnamespace = n.oid and not pg_catalog.pg_has_role(e.extowner, 'usage'))
      and not exists (select from member m where m.classid = 'pg_catalog.pg_namespace'::regclass and m.objid = n.oid)
    union all
    select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' when 'c' then 'type' else 'table' end,
           quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid >= 16384 and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and n.nspname <> 'pgconvoy_follow'
      and not ($1::text = 'ledger of an unfinished run' and n.nspname = 'pgconvoy' and c.relname in ('run', 'done', 'trouble'))
      and not exists (select from member m where m.classid = 'pg_catalog.pg_class'::regclass and m.objid = c.oid)
    union all
    select 'function', p.oid::regprocedure::text
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where p.oid >= 16384 and n.nspname !~ '^pg_'
      and not exists (select from member m where m.classid = 'pg_catalog.pg_proc'::regclass and m.objid = p.oid)
    union all
    select 'type', t.oid::regtype::text
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.oid >= 16384 and t.typtype in ('d', 'e', 'r', 'b') and t.typelem = 0 and n.nspname !~ '^pg_'
      and not exists (select from member m where m.classid = 'pg_catalog.pg_type'::regclass and m.objid = t.oid)
    union all
    select 'event trigger', quote_ident(evtname) from pg_catalog.pg_event_trigger t
    where not exists (select from member m where m.classid = 'pg_catalog.pg_event_trigger'::regclass and m.objid = t.oid)
    union all
    select 'publication', quote_ident(pubname) from pg_catalog.pg_publication
    union all
    select 'foreign-data wrapper', quote_ident(fdwname) from pg_catalog.pg_foreign_data_wrapper w
    where not exists (select from member m
                      where m.classid = 'pg_catalog.pg_foreign_data_wrapper'::regclass and m.objid = w.oid)
    union all
    select 'foreign server', quote_ident(srvname) from pg_catalog.pg_foreign_server s
    where not exists (select from member m where m.classid = 'pg_catalog.pg_foreign_server'::regclass and m.objid = s.oid)
    union all
    select 'large object', count(*)::text || ' of them' from pg_catalog.pg_largeobject_metadata having count(*) > 0
)
select kind,
       count(*) as count,
       (array_agg(name order by name))[1:5] as examples
from held
group by kind
order by kind
