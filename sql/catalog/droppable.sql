-- What a database holds beyond what it was created with, each with the statement that drops it, in an order in which little is
-- left to CASCADE: one row an object, all large objects in one. What belongs to an extension goes with the extension;
-- the schema public is never dropped, only what is in it, because not everyone who may empty a database may make public anew.
-- may_drop: whether the connected role owns the object or its schema, as DROP asks for.
-- $1: what a schema pgconvoy is called, if there is one: as whose it is (ledger_schema.sql) says. One that is a schema like any other is
-- somebody's own, which has its place: neither it nor what is in it is ours to drop.
with member as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), space as (
    select n.oid, n.nspname, n.nspowner, pg_catalog.pg_has_role(n.nspowner, 'usage') as mine
    from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and not (n.nspname = 'pgconvoy' and $1::text = 'schema')
), owned as (
    select o.classid, o.objid
    from pg_catalog.pg_shdepend o
    join pg_catalog.pg_database d on d.oid = o.dbid
    where d.datname = pg_catalog.current_database() and o.deptype = 'o' and o.objsubid = 0
      and pg_catalog.pg_has_role(o.refobjid, 'usage')
), content as (
    -- Whatever depends on a schema is in it. Left out: what lives and dies with a table or type, and extensions.
    select d.classid, d.objid, i.type, i.identity,
           s.mine or exists (select from owned o where o.classid = d.classid and o.objid = d.objid) as may_drop,
           exists (select from pg_catalog.pg_inherits h where h.inhrelid = d.objid) as is_child,
           exists (select from pg_catalog.pg_inherits h where h.inhparent = d.objid) as is_parent
    from space s
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_namespace'::regclass and d.refobjid = s.oid
    cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, 0) i
    where d.deptype = 'n' and d.objsubid = 0
      and d.classid not in ('pg_catalog.pg_extension'::regclass, 'pg_catalog.pg_statistic_ext'::regclass)
      and not exists (select from member m where m.classid = d.classid and m.objid = d.objid)
      and not exists (select from pg_catalog.pg_type t
                      where d.classid = 'pg_catalog.pg_type'::regclass and t.oid = d.objid and t.typtype = 'm')
), defaults as (
    select d.defaclrole, d.defaclacl, d.defaclnamespace, n.nspname, r.rolname,
           case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                when 'T' then 'types' when 'n' then 'schemas' when 'L' then 'large objects' end as objects,
           case d.defaclobjtype when 'f' then 'execute' when 'T' then 'usage' end as public_privilege,
           pg_catalog.format('alter default privileges for role %I%s', r.rolname,
                             case when n.oid is not null then pg_catalog.format(' in schema %I', n.nspname) end) as alter_them
    from pg_catalog.pg_default_acl d
    join pg_catalog.pg_roles r on r.oid = d.defaclrole
    left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
), acl_of_system as (
    -- What pg_dump looks at as well. Not the information schema: from 17 on, its initial privileges are not on record.
    select c.tableoid as classid, c.oid, 0 as subid, c.relowner as owner, c.relacl as acl, '' as columns,
           case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass::text as object,
           pg_catalog.acldefault(case c.relkind when 'S' then 's'::"char" else 'r' end, c.relowner) as usual
    from pg_catalog.pg_class c
    where c.oid < 16384 and c.relacl is not null and c.relnamespace = 'pg_catalog'::regnamespace
    union all
    select c.tableoid, c.oid, a.attnum, c.relowner, a.attacl, pg_catalog.format(' (%I)', a.attname),
           'table ' || c.oid::regclass::text, pg_catalog.acldefault('c', c.relowner)
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.oid < 16384 and a.attacl is not null and c.relnamespace = 'pg_catalog'::regnamespace
    union all
    select p.tableoid, p.oid, 0, p.proowner, p.proacl, '',
           'function ' || p.oid::regprocedure::text, pg_catalog.acldefault('f', p.proowner)
    from pg_catalog.pg_proc p
    where p.oid < 16384 and p.proacl is not null and p.pronamespace = 'pg_catalog'::regnamespace
    union all
    select l.tableoid, l.oid, 0, l.lanowner, l.lanacl, '',
           pg_catalog.format('language %I', l.lanname), pg_catalog.acldefault('l', l.lanowner)
    from pg_catalog.pg_language l where l.oid < 16384 and l.lanacl is not null
), changed_acl as (
    select s.object, now.grantor, now.grantee, 1 as place,
           pg_catalog.format('revoke %s%s on %s from %s cascade', now.privilege_type, s.columns, s.object,
                             case when now.grantee = 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(now.grantee)) end) as statement
    from acl_of_system s
    left join pg_catalog.pg_init_privs i on i.classoid = s.classid and i.objoid = s.oid and i.objsubid = s.subid
    cross join lateral (select * from pg_catalog.aclexplode(s.acl)
                        except select * from pg_catalog.aclexplode(coalesce(i.initprivs, s.usual))) now
    where pg_catalog.pg_has_role(s.owner, 'usage')
    union all
    select s.object, was.grantor, was.grantee, 2,
           pg_catalog.format('grant %s%s on %s to %s%s', was.privilege_type, s.columns, s.object,
                             case when was.grantee = 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(was.grantee)) end,
                             case when was.is_grantable then ' with grant option' end)
    from acl_of_system s
    left join pg_catalog.pg_init_privs i on i.classoid = s.classid and i.objoid = s.oid and i.objsubid = s.subid
    cross join lateral (select * from pg_catalog.aclexplode(coalesce(i.initprivs, s.usual))
                        except select * from pg_catalog.aclexplode(s.acl)) was
    where pg_catalog.pg_has_role(s.owner, 'usage')
), held as (
    -- First what would fire at, or stand in the way of, all that follows.
    select 10 as step, 0 as place, t.oid, 'event trigger' as kind, pg_catalog.quote_ident(t.evtname) as name,
           pg_catalog.pg_has_role(t.evtowner, 'usage') as may_drop,
           pg_catalog.format('drop event trigger if exists %I cascade', t.evtname) as statement
    from pg_catalog.pg_event_trigger t
    where not exists (select from member m where m.classid = t.tableoid and m.objid = t.oid)
    union all
    select 11, 0, p.oid, 'publication', pg_catalog.quote_ident(p.pubname), pg_catalog.pg_has_role(p.pubowner, 'usage'),
           pg_catalog.format('drop publication if exists %I cascade', p.pubname)
    from pg_catalog.pg_publication p
    where not exists (select from member m where m.classid = p.tableoid and m.objid = p.oid)
    union all
    -- Partitions and children before their parents, or one DROP would need the locks of them all.
    select case c.type when 'view' then 20 when 'materialized view' then 20 when 'table' then 30 when 'foreign table' then 30
                       when 'sequence' then 40 when 'type' then 50 when 'composite type' then 50 else 60 end,
           case when c.is_child and not c.is_parent then 0 when c.is_child then 1 else 2 end,
           c.objid,
           c.type, c.identity, c.may_drop,
           pg_catalog.format('drop %s if exists %s cascade',
                             case c.type when 'composite type' then 'type' else c.type end,
                             -- An aggregate without arguments is written with a star.
                             case c.type when 'aggregate' then pg_catalog.regexp_replace(c.identity, '\(\)$', '(*)') else c.identity end)
    from content c
    union all
    select 70, 0, d.defaclrole, 'default privileges',
           pg_catalog.format('of role %I%s on %s', d.rolname, case when d.nspname is not null then pg_catalog.format(' in schema %I', d.nspname) end, d.objects),
           pg_catalog.pg_has_role(d.defaclrole, 'usage'),
           pg_catalog.concat_ws('; ',
               (select pg_catalog.string_agg(pg_catalog.format('%s revoke all on %s from %s', d.alter_them, d.objects,
                                                               case when g.grantee = 0 then 'public'
                                                                    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) end), '; ')
                from (select distinct a.grantee from pg_catalog.aclexplode(d.defaclacl) a) g),
               case when d.defaclnamespace = 0
                    then pg_catalog.format('%s grant all on %s to %I', d.alter_them, d.objects, d.rolname) end,
               case when d.defaclnamespace = 0 and d.public_privilege is not null
                    then pg_catalog.format('%s grant %s on %s to public', d.alter_them, d.public_privilege, d.objects) end)
    from defaults d
    union all
    select 80, 0, e.oid, 'extension', pg_catalog.quote_ident(e.extname), pg_catalog.pg_has_role(e.extowner, 'usage'),
           pg_catalog.format('drop extension if exists %I cascade', e.extname)
    from pg_catalog.pg_extension e
    where e.extname <> 'plpgsql'
    union all
    -- A schema that holds an extension of somebody else stays with it.
    select 90, 0, s.oid,
           case s.nspname when 'pgconvoy' then $1::text else 'schema' end,
           pg_catalog.quote_ident(s.nspname), s.mine,
           pg_catalog.format('drop schema if exists %I cascade', s.nspname)
    from space s
    where s.nspname <> 'public'
      and not exists (select from member m where m.classid = 'pg_catalog.pg_namespace'::regclass and m.objid = s.oid)
      and not exists (select from pg_catalog.pg_extension e
                      where e.extnamespace = s.oid
                        and (e.extname = 'plpgsql' or not pg_catalog.pg_has_role(e.extowner, 'usage')))
    union all
    select 100, 0, s.oid, 'foreign server', pg_catalog.quote_ident(s.srvname), pg_catalog.pg_has_role(s.srvowner, 'usage'),
           pg_catalog.format('drop server if exists %I cascade', s.srvname)
    from pg_catalog.pg_foreign_server s
    where not exists (select from member m where m.classid = s.tableoid and m.objid = s.oid)
    union all
    select 101, 0, w.oid, 'foreign-data wrapper', pg_catalog.quote_ident(w.fdwname), pg_catalog.pg_has_role(w.fdwowner, 'usage'),
           pg_catalog.format('drop foreign data wrapper if exists %I cascade', w.fdwname)
    from pg_catalog.pg_foreign_data_wrapper w
    where not exists (select from member m where m.classid = w.tableoid and m.objid = w.oid)
    union all
    select 102, 0, x.objid, x.kind, x.identity,
           (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user)
             or exists (select from owned o where o.classid = x.classid and o.objid = x.objid),
           pg_catalog.format('drop %s if exists %s cascade', x.kind, x.identity)
    from (
        select a.tableoid as classid, a.oid as objid, 'access method' as kind, pg_catalog.quote_ident(a.amname) as identity
        from pg_catalog.pg_am a where a.oid >= 16384
        union all
        select l.tableoid, l.oid, 'language', pg_catalog.quote_ident(l.lanname)
        from pg_catalog.pg_language l where l.oid >= 16384
    ) x
    where not exists (select from member m where m.classid = x.classid and m.objid = x.objid)
    union all
    -- Whoever owns one of the types may drop a cast or transform; DROP knows best.
    select 103, 0, x.oid, x.kind, x.identity, true, pg_catalog.format('drop %s if exists %s cascade', x.kind, x.identity)
    from (
        select c.tableoid as classid, c.oid, 'cast' as kind,
               pg_catalog.format('(%s as %s)', c.castsource::regtype, c.casttarget::regtype) as identity
        from pg_catalog.pg_cast c where c.oid >= 16384
        union all
        select t.tableoid, t.oid, 'transform', pg_catalog.format('for %s language %I', t.trftype::regtype, l.lanname)
        from pg_catalog.pg_transform t
        join pg_catalog.pg_language l on l.oid = t.trflang
        where t.oid >= 16384
    ) x
    where not exists (select from member m where m.classid = x.classid and m.objid = x.oid)
    union all
    select 110, 0, 0, 'grants on a system object', a.object, true,
           pg_catalog.string_agg(a.statement, '; ' order by a.place)
    from changed_acl a
    group by a.object
    union all
    -- Run again and again, until nothing is left: each is locked until the end of its transaction.
    select 120, 0, 0, 'large object', count(*)::text || ' of them',
           pg_catalog.bool_and(pg_catalog.pg_has_role(l.lomowner, 'usage')),
           'select pg_catalog.count(pg_catalog.lo_unlink(l.oid)) as count from (select oid from pg_catalog.pg_largeobject_metadata limit 100) l'
    from pg_catalog.pg_largeobject_metadata l
    having count(*) > 0
)
select kind, name, may_drop, statement
from held
order by step, place, oid desc, name
