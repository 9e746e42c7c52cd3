-- What people have made in pg_catalog and information_schema, where no dump looks, and who may use what is in information_schema.
-- What an owner may do is left out: it is called otherwise on another server. Values come as bytes: in a SQL_ASCII database
-- they need not be text in any encoding. Older servers name the schema of json, and newer ones do not.
with encoding as (
    select case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end as name
), system_schema as (
    select n.oid, n.nspname, n.nspowner, n.nspacl
    from pg_catalog.pg_namespace n
    where n.nspname in ('pg_catalog', 'information_schema')
), made as (
    -- From 16384 on: below are those that the server was made with. Each branch says so itself, because older servers do not carry a
    -- condition from outside into it.
    select 'pg_catalog.pg_class'::regclass as classid, c.oid, null::bytea as value
    from pg_catalog.pg_class c
    join system_schema n on n.oid = c.relnamespace
    where c.oid >= 16384
      and c.relpersistence <> 't'
    union all
    select 'pg_catalog.pg_proc'::regclass, f.oid, pg_catalog.convert_to(f.prosrc, e.name)
    from pg_catalog.pg_proc f
    join system_schema n on n.oid = f.pronamespace
    cross join encoding e
    where f.oid >= 16384
    union all
    select 'pg_catalog.pg_type'::regclass, t.oid, null
    from pg_catalog.pg_type t
    join system_schema n on n.oid = t.typnamespace
    where t.oid >= 16384
      and t.typtype <> 'm'
      and not exists (select from pg_catalog.pg_type e where e.oid = t.typelem and e.typarray = t.oid)
      and not exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind <> 'c')
    union all
    select 'pg_catalog.pg_operator'::regclass, o.oid, null
    from pg_catalog.pg_operator o
    join system_schema n on n.oid = o.oprnamespace
    where o.oid >= 16384
), grantable as (
    select 'pg_catalog.pg_class'::regclass as classid, c.oid, c.relowner as owner,
           coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner)) as acl
    from pg_catalog.pg_class c
    join system_schema n on n.oid = c.relnamespace and n.nspname = 'information_schema'
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'pg_catalog.pg_proc'::regclass, f.oid, f.proowner, coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))
    from pg_catalog.pg_proc f
    join system_schema n on n.oid = f.pronamespace and n.nspname = 'information_schema'
    union all
    select 'pg_catalog.pg_namespace'::regclass, n.oid, n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
    from system_schema n
    where n.nspname = 'information_schema'
), granted as (
    select g.classid, g.oid, string_agg(w.words, ', ' order by w.words collate "C") as words
    from grantable g
    cross join lateral (
        select a.privilege_type || ' to ' || case when a.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)::text end
                   || case when a.is_grantable then ' with grant option' else '' end as words
        from pg_catalog.aclexplode(g.acl) a
        where a.grantee <> g.owner
    ) w
    group by g.classid, g.oid
)
select 'made' as what, o.type || ' ' || pg_catalog.regexp_replace(o.identity, 'pg_catalog\.json\M', 'json', 'g') as object, m.value
from made m
cross join lateral pg_catalog.pg_identify_object(m.classid, m.oid, 0) o
where o.identity is not null
  and not exists (select from pg_catalog.pg_depend d where d.classid = m.classid and d.objid = m.oid and d.deptype in ('e', 'i'))
union all
-- All of them: which there are depends on the version.
select 'grants', o.type || ' ' || o.identity, pg_catalog.convert_to(coalesce(r.words, 'nothing to anybody else'), e.name)
from grantable g
cross join encoding e
left join granted r on r.classid = g.classid and r.oid = g.oid
cross join lateral pg_catalog.pg_identify_object(g.classid, g.oid, 0) o
where o.identity is not null
order by 1, 2
