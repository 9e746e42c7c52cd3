-- What a database's objects are set to, where that is not the default: one row a setting, in words that are the same on
-- every server version, so that two databases compare as maps. A dump says some of it, too, but nobody has yet looked
-- whether it took effect.
--
-- schema and name are those of the relation, or of the object itself if it is on none; part is what the relation calls
-- its trigger, rule or index. Triggers that the server made for a foreign key or a deferrable constraint are not listed:
-- a dump cannot carry their state. Those of partitions are: version 15 stopped to call them internal.
--
-- What an extension's relations are set to, a dump does not say either: extension is whose they are.
with class as (
    -- relhasoids went with version 12. On newer servers the name finds what is beside the subquery instead.
    select c.*
    from (select false as relhasoids) since_12
    cross join lateral (
        select c.oid, c.relkind, c.relname, c.relnamespace, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence,
               c.relispopulated, relhasoids as has_oids
        from pg_catalog.pg_class c
    ) c
), relation as (
    select c.oid, c.relkind, c.relname, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence, c.relispopulated,
           c.has_oids, n.nspname,
           case c.relkind when 'm' then 'materialized view' when 'S' then 'sequence' when 'v' then 'view'
                          when 'f' then 'foreign table' else 'table' end as class
    from class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm', 'v', 'f', 'S')
      and c.relpersistence <> 't'
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
), member as (
    select r.oid, r.nspname, r.relname, e.extname
    from relation r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.deptype = 'e'
    join pg_catalog.pg_extension e on d.refclassid = 'pg_catalog.pg_extension'::regclass and e.oid = d.refobjid
), index as (
    select r.oid as relation, r.nspname, r.relname, ic.oid, ic.relname as index_name, i.indisclustered, i.indisreplident
    from relation r
    join pg_catalog.pg_index i on i.indrelid = r.oid
    join pg_catalog.pg_class ic on ic.oid = i.indexrelid
), enabled (code, words) as (
    values ('D', 'disabled'), ('R', 'enabled in replica mode'), ('A', 'always enabled')
), storage (code, words) as (
    values ('p', 'plain'), ('e', 'external'), ('m', 'main'), ('x', 'extended')
), compression (code, words) as (
    values ('p', 'pglz'), ('l', 'lz4')
), attribute as (
    -- attcompression came with version 14. On older servers the name finds what is beside the subquery instead.
    select a.*
    from (select null::"char" as attcompression) before_14
    cross join lateral (
        select a.attrelid, a.attnum, a.attname, a.attstattarget, a.attstorage, a.atttypid, attcompression::text as compression
        from pg_catalog.pg_attribute a
        where a.attnum > 0 and not a.attisdropped
    ) a
), inheritance as (
    -- inhdetachpending came with version 14.
    select i.*
    from (select false as inhdetachpending) before_14
    cross join lateral (
        select i.inhrelid, inhdetachpending as is_pending
        from pg_catalog.pg_inherits i
    ) i
), extended as (
    -- stxstattarget came with version 13.
    select s.*
    from (select null::int as stxstattarget) before_13
    cross join lateral (
        select s.oid, s.stxname, s.stxnamespace, stxstattarget::int as target
        from pg_catalog.pg_statistic_ext s
    ) s
), state as (
    select class, nspname::text as schema, relname::text as name, null::text as part, 'persistence' as property, 'unlogged' as state
    from relation
    where relpersistence = 'u' and relkind in ('r', 'm', 'S')
    union all
    select class, nspname::text, relname::text, null, 'with oids', 'yes'
    from relation
    where has_oids
      and relkind in ('r', 'p')
      and not exists (select from member m where m.oid = relation.oid)
    union all
    select r.class, r.nspname::text, r.relname::text, null, 'partition', 'being detached'
    from relation r
    join inheritance i on i.inhrelid = r.oid
    where i.is_pending
    union all
    select class, nspname::text, relname::text, null, 'data', 'not populated'
    from relation
    where relkind = 'm' and not relispopulated
    union all
    select 'row security', nspname::text, relname::text, null, 'row security', 'enabled'
    from relation
    where relrowsecurity
    union all
    select class, nspname::text, relname::text, null, 'row security for the owner', 'forced'
    from relation
    where relforcerowsecurity
    union all
    select class, nspname::text, relname::text, null, 'replica identity',
           case relreplident when 'f' then 'full' when 'n' then 'nothing'
                else 'using index ' || coalesce((select quote_ident(i.index_name) from index i
                                                 where i.relation = relation.oid and i.indisreplident), '(dropped)') end
    from relation
    where relreplident <> 'd' and relkind in ('r', 'p', 'm')
    union all
    select r.class, i.nspname::text, i.relname::text, null, 'clustered on', quote_ident(i.index_name)
    from index i
    join relation r on r.oid = i.relation
    where i.indisclustered
    union all
    select r.class, r.nspname::text, r.relname::text, null, 'storage of column ' || quote_ident(a.attname), s.words
    from relation r
    join attribute a on a.attrelid = r.oid
    join pg_catalog.pg_type t on t.oid = a.atttypid and t.typstorage <> a.attstorage
    join storage s on s.code = a.attstorage::text
    where r.relkind in ('r', 'p', 'm')
    union all
    select r.class, r.nspname::text, r.relname::text, null, 'compression of column ' || quote_ident(a.attname), p.words
    from relation r
    join attribute a on a.attrelid = r.oid
    join compression p on p.code = a.compression
    where r.relkind in ('r', 'p', 'm')
    union all
    select r.class, r.nspname::text, r.relname::text, null, 'statistics target of column ' || quote_ident(a.attname),
           a.attstattarget::text
    from relation r
    join attribute a on a.attrelid = r.oid
    where r.relkind in ('r', 'p', 'm', 'f') and coalesce(a.attstattarget, -1) >= 0
    union all
    select 'index', i.nspname::text, i.relname::text, i.index_name::text, 'statistics target of column ' || a.attnum,
           a.attstattarget::text
    from index i
    join attribute a on a.attrelid = i.oid
    where coalesce(a.attstattarget, -1) >= 0
    union all
    select 'trigger', r.nspname::text, r.relname::text, t.tgname::text, 'state', e.words
    from relation r
    join pg_catalog.pg_trigger t on t.tgrelid = r.oid
    join enabled e on e.code = t.tgenabled::text
    left join pg_catalog.pg_constraint k on k.oid = t.tgconstraint
    where k.oid is null or k.contype = 't'
    union all
    select 'rule', r.nspname::text, r.relname::text, w.rulename::text, 'state', e.words
    from relation r
    join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.rulename <> '_RETURN'
    join enabled e on e.code = w.ev_enabled::text
    union all
    select 'event trigger', null, t.evtname::text, null, 'state', e.words
    from pg_catalog.pg_event_trigger t
    join enabled e on e.code = t.evtenabled::text
    where not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_event_trigger'::regclass and d.objid = t.oid and d.deptype = 'e')
    union all
    select 'statistics', n.nspname::text, s.stxname::text, null, 'statistics target', s.target::text
    from extended s
    join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
    where coalesce(s.target, -1) >= 0
      and n.nspname not in ('pgconvoy', 'pgconvoy_follow')
    union all
    -- A dump says nothing of it as long as it is as in every new database; nor if there is none.
    select 'schema', null, 'public', null, 'presence', 'gone'
    where not exists (select from pg_catalog.pg_namespace n where n.nspname = 'public')
    union all
    select 'domain', n.nspname::text, t.typname::text, null, 'constraint ' || quote_ident(k.conname), 'not validated'
    from pg_catalog.pg_constraint k
    join pg_catalog.pg_type t on t.oid = k.contypid
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where not k.convalidated
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
)
select s.class, s.schema, s.name, s.part, s.property, s.state, m.extname::text as extension
from state s
left join member m
    on m.nspname = s.schema and m.relname = s.name and s.class not in ('domain', 'event trigger', 'statistics')
