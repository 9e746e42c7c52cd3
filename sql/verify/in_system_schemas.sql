-- What people have made in pg_catalog and information_schema, where no dump looks; how text search is set up there, and what was added
-- to its operator families; and who may use what is in information_schema.
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
    union all
    select 'pg_catalog.pg_ts_config'::regclass, c.oid, null
    from pg_catalog.pg_ts_config c
    join system_schema n on n.oid = c.cfgnamespace
    where c.oid >= 16384
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, d.oid, pg_catalog.convert_to(coalesce(d.dictinitoption, ''), e.name)
    from pg_catalog.pg_ts_dict d
    join system_schema n on n.oid = d.dictnamespace
    cross join encoding e
    where d.oid >= 16384
    union all
    select 'pg_catalog.pg_ts_parser'::regclass, p.oid, null
    from pg_catalog.pg_ts_parser p
    join system_schema n on n.oid = p.prsnamespace
    where p.oid >= 16384
    union all
    select 'pg_catalog.pg_ts_template'::regclass, t.oid, null
    from pg_catalog.pg_ts_template t
    join system_schema n on n.oid = t.tmplnamespace
    where t.oid >= 16384
    union all
    select 'pg_catalog.pg_opclass'::regclass, o.oid, null
    from pg_catalog.pg_opclass o
    join system_schema n on n.oid = o.opcnamespace
    where o.oid >= 16384
    union all
    select 'pg_catalog.pg_opfamily'::regclass, f.oid, null
    from pg_catalog.pg_opfamily f
    join system_schema n on n.oid = f.opfnamespace
    where f.oid >= 16384
    union all
    select 'pg_catalog.pg_conversion'::regclass, c.oid, null
    from pg_catalog.pg_conversion c
    join system_schema n on n.oid = c.connamespace
    where c.oid >= 16384
    union all
    -- pg_import_system_collations makes what the machine has. It calls each as its locale, with or without the encoding.
    select 'pg_catalog.pg_collation'::regclass, c.oid, null
    from pg_catalog.pg_collation c
    join system_schema n on n.oid = c.collnamespace
    where c.oid >= 16384
      and not (c.collprovider = 'i' and c.collname::text like '%-x-icu')
      and not (c.collprovider = 'c'
               and c.collname::text in (c.collcollate::text,
                                        pg_catalog.regexp_replace(c.collcollate::text, '\.[A-Za-z0-9-]+', '', 'g')))
), token as (
    select c.oid as config, c.cfgname, t.alias,
           string_agg(case when n.nspname <> 'pg_catalog' then pg_catalog.quote_ident(n.nspname) || '.' else '' end
                          || pg_catalog.quote_ident(d.dictname), ', ' order by m.mapseqno) as dictionaries
    from pg_catalog.pg_ts_config c
    cross join lateral pg_catalog.ts_token_type(c.cfgparser) t
    left join pg_catalog.pg_ts_config_map m on m.mapcfg = c.oid and m.maptokentype = t.tokid
    left join pg_catalog.pg_ts_dict d on d.oid = m.mapdict
    left join pg_catalog.pg_namespace n on n.oid = d.dictnamespace
    where c.oid < 16384
    group by c.oid, c.cfgname, t.alias
), brought as (
    -- As the server brings them, a configuration gives words to the stemmer of its language, words in ASCII to that or to the English
    -- one, and the 13 other kinds of tokens to the dictionary simple; a stemmer has its language, and its stop words or none.
    select 'pg_catalog.pg_ts_config'::regclass as classid, k.config as oid,
           string_agg(k.alias || ': ' || k.dictionaries, '; ' order by k.alias collate "C") as state,
           count(k.dictionaries) <> 19
               or not bool_and(case
                   when k.dictionaries is null or k.cfgname = 'simple' then coalesce(k.dictionaries, 'simple') = 'simple'
                   when k.alias in ('word', 'hword', 'hword_part') then k.dictionaries = k.cfgname || '_stem'
                   when k.alias in ('asciiword', 'asciihword', 'hword_asciipart')
                       then k.dictionaries in (k.cfgname || '_stem', 'english_stem')
                   else k.dictionaries = 'simple' end) as is_altered
    from token k
    group by k.config
    union all
    select 'pg_catalog.pg_ts_dict'::regclass, d.oid, d.dictinitoption,
           case when d.dictname = 'simple' then d.dictinitoption is not null
                else coalesce(d.dictinitoption, '') not in ('language = ' || l.name, 'language = ' || l.name || ', stopwords = ' || l.name) end
    from pg_catalog.pg_ts_dict d
    cross join lateral (select pg_catalog.quote_literal(pg_catalog.regexp_replace(d.dictname::text, '_stem$', '')) as name) l
    where d.oid < 16384
), added as (
    select a.amopfamily as family, 'pg_catalog.pg_amop'::regclass as classid, a.oid, a.amoplefttype as lefttype, a.amoprighttype as righttype,
           'operator ' || a.amopstrategy as part, 'pg_catalog.pg_operator'::regclass as partclass, a.amopopr as partid
    from pg_catalog.pg_amop a
    where a.oid >= 16384
    union all
    select p.amprocfamily, 'pg_catalog.pg_amproc'::regclass, p.oid, p.amproclefttype, p.amprocrighttype,
           'function ' || p.amprocnum, 'pg_catalog.pg_proc'::regclass, p.amproc::oid
    from pg_catalog.pg_amproc p
    where p.oid >= 16384
), family as (
    -- An operator class brings some, and on which of the two these hang depends on the version. On a class, a dump carries them. What
    -- extensions add is theirs.
    select a.family as oid,
           string_agg(pg_catalog.format('%s (%s, %s) %s', a.part, pg_catalog.format_type(a.lefttype, null),
                                        pg_catalog.format_type(a.righttype, null), o.identity),
                      '; ' order by a.part collate "C", pg_catalog.format_type(a.lefttype, null) collate "C",
                                    pg_catalog.format_type(a.righttype, null) collate "C", o.identity collate "C") as parts,
           bool_or(not exists (select from pg_catalog.pg_depend d
                               where d.classid = a.classid
                                 and d.objid = a.oid
                                 and d.refclassid = 'pg_catalog.pg_opclass'::regclass)) as is_altered
    from added a
    cross join lateral pg_catalog.pg_identify_object(a.partclass, a.partid, 0) o
    where a.family < 16384
      and not exists (select from pg_catalog.pg_depend d
                      where d.deptype = 'e'
                        and (d.classid = a.partclass and d.objid = a.partid
                             or d.classid = 'pg_catalog.pg_type'::regclass and d.objid in (a.lefttype, a.righttype)))
    group by a.family
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
select 'brought', o.type || ' ' || o.identity, pg_catalog.convert_to(coalesce(b.state, ''), e.name)
from brought b
cross join encoding e
cross join lateral pg_catalog.pg_identify_object(b.classid, b.oid, 0) o
union all
select 'added', o.type || ' ' || o.identity,
       pg_catalog.convert_to(pg_catalog.regexp_replace(f.parts, 'pg_catalog\.json\M', 'json', 'g'), e.name)
from family f
cross join encoding e
cross join lateral pg_catalog.pg_identify_object('pg_catalog.pg_opfamily'::regclass, f.oid, 0) o
union all
-- What shows by itself that somebody has changed it.
select 'altered', o.type || ' ' || o.identity, null
from (select b.classid, b.oid from brought b where b.is_altered
      union all
      select 'pg_catalog.pg_opfamily'::regclass, f.oid from family f where f.is_altered) a
cross join lateral pg_catalog.pg_identify_object(a.classid, a.oid, 0) o
union all
-- All of them: which there are depends on the version.
select 'grants', o.type || ' ' || o.identity, pg_catalog.convert_to(coalesce(r.words, 'nothing to anybody else'), e.name)
from grantable g
cross join encoding e
left join granted r on r.classid = g.classid and r.oid = g.oid
cross join lateral pg_catalog.pg_identify_object(g.classid, g.oid, 0) o
where o.identity is not null
order by 1, 2
