-- What extensions are made of, and what hangs on their relations: indexes, constraints, triggers, rules, policies, statistics and columns.
-- A dump creates an extension, and says nothing of what was added to it or changed about it since; nor whose it is.
--
-- A member's definition is that of a function in a language whose functions people write. What else ALTER FUNCTION changes about a
-- function comes by itself as far as the way to a version of an extension makes no difference to it; so does the query of a view. All
-- definitions come as bytes: in a SQL_ASCII database they need not be text in any encoding. Older servers name the schema of json, and
-- newer ones do not.
with encoding as (
    select case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end as name
), member as (
    select e.extname, d.classid, d.objid
    from pg_catalog.pg_extension e
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
), relation as (
    select m.extname, c.oid, c.relkind
    from member m
    join pg_catalog.pg_class c on c.oid = m.objid
    where m.classid = 'pg_catalog.pg_class'::regclass
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
), function as (
    select m.extname, f.oid, f.proowner, f.provolatile, f.prosecdef, f.proleakproof, f.proconfig,
           o.type || ' ' || pg_catalog.regexp_replace(o.identity, 'pg_catalog\.json\M', 'json', 'g') as object
    from member m
    join pg_catalog.pg_proc f on f.oid = m.objid
    cross join lateral pg_catalog.pg_identify_object(m.classid, m.objid, 0) o
    where m.classid = 'pg_catalog.pg_proc'::regclass
), attached as (
    select distinct r.extname, d.classid, d.objid, i.oid as index, k.oid as constraint, t.oid as trigger, w.oid as rule, p.oid as policy,
           s.oid as statistics
    from relation r
    join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = r.oid and d.deptype in ('a', 'i')
    left join pg_catalog.pg_class i
        on d.classid = 'pg_catalog.pg_class'::regclass and i.oid = d.objid and i.relkind in ('i', 'I')
    -- Version 18 lists what is not null, too.
    left join pg_catalog.pg_constraint k
        on d.classid = 'pg_catalog.pg_constraint'::regclass and k.oid = d.objid and k.contype <> 'n'
    left join pg_catalog.pg_trigger t
        on d.classid = 'pg_catalog.pg_trigger'::regclass and t.oid = d.objid and not t.tgisinternal
    left join pg_catalog.pg_rewrite w
        on d.classid = 'pg_catalog.pg_rewrite'::regclass and w.oid = d.objid and w.rulename <> '_RETURN'
    left join pg_catalog.pg_policy p
        on d.classid = 'pg_catalog.pg_policy'::regclass and p.oid = d.objid
    left join pg_catalog.pg_statistic_ext s
        on d.classid = 'pg_catalog.pg_statistic_ext'::regclass and s.oid = d.objid
    where coalesce(i.oid, k.oid, t.oid, w.oid, p.oid, s.oid) is not null
)
select a.extname::text as extension,
       'attached' as what,
       coalesce(o.type || ' ' || o.identity, a.objid::text) as object,
       pg_catalog.convert_to(case
           when a.index is not null then pg_catalog.pg_get_indexdef(a.index)
           when a.constraint is not null then pg_catalog.pg_get_constraintdef(a.constraint)
           when a.trigger is not null then pg_catalog.pg_get_triggerdef(a.trigger)
           when a.rule is not null then pg_catalog.pg_get_ruledef(a.rule)
           when a.statistics is not null then pg_catalog.pg_get_statisticsobjdef(a.statistics)
           else (select pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                                             pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
                                             (select string_agg(coalesce(g.rolname::text, 'public'), ', ' order by g.rolname::text collate "C")
                                              from pg_catalog.unnest(p.polroles) as r(oid)
                                              left join pg_catalog.pg_roles g on g.oid = r.oid))
                 from pg_catalog.pg_policy p
                 where p.oid = a.policy)
       end, n.name) as value
from attached a
cross join encoding n
cross join lateral pg_catalog.pg_identify_object(a.classid, a.objid, 0) o
union all
select r.extname::text, 'attached', coalesce(o.type || ' ' || o.identity, a.attname::text),
       pg_catalog.convert_to(pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
                                                  pg_catalog.pg_get_expr(v.adbin, v.adrelid)), n.name)
from relation r
cross join encoding n
join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_catalog.pg_attrdef v on v.adrelid = r.oid and v.adnum = a.attnum
cross join lateral pg_catalog.pg_identify_object('pg_catalog.pg_class'::regclass, r.oid, a.attnum) o
where r.relkind in ('r', 'p', 'f')
union all
select m.extname::text, 'member', coalesce(o.type || ' ' || pg_catalog.regexp_replace(o.identity, 'pg_catalog\.json\M', 'json', 'g'), m.objid::text),
       pg_catalog.convert_to(case when l.lanname in ('c', 'internal') then '' else coalesce(f.prosrc, '') end, n.name)
from member m
cross join encoding n
cross join lateral pg_catalog.pg_identify_object(m.classid, m.objid, 0) o
left join pg_catalog.pg_proc f on m.classid = 'pg_catalog.pg_proc'::regclass and f.oid = m.objid
left join pg_catalog.pg_language l on l.oid = f.prolang
where not exists (select from attached a where a.classid = m.classid and a.objid = m.objid)
  -- The types of arrays, rows and multiranges come with what they are made for, as a member of their own or not.
  and not exists (select from pg_catalog.pg_type t
                  where m.classid = 'pg_catalog.pg_type'::regclass
                    and t.oid = m.objid
                    and (t.typtype = 'm'
                         or exists (select from pg_catalog.pg_type e where e.oid = t.typelem and e.typarray = t.oid)
                         or exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind <> 'c')))
union all
select f.extname::text, 'traits', f.object,
       pg_catalog.convert_to(pg_catalog.concat_ws(', ',
           case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
           case when f.prosecdef then 'security definer' end,
           case when f.proleakproof then 'leakproof' end,
           'set ' || pg_catalog.array_to_string(f.proconfig, ', set ')), n.name)
from function f
cross join encoding n
where f.object is not null
union all
select r.extname::text, 'query', o.type || ' ' || o.identity, pg_catalog.convert_to(pg_catalog.pg_get_viewdef(r.oid), n.name)
from relation r
cross join encoding n
cross join lateral pg_catalog.pg_identify_object('pg_catalog.pg_class'::regclass, r.oid, 0) o
where r.relkind in ('v', 'm')
  and o.identity is not null
union all
select f.extname::text, 'function owner', f.object, pg_catalog.convert_to(o.rolname::text, n.name)
from function f
cross join encoding n
join pg_catalog.pg_extension e on e.extname = f.extname and e.extowner <> f.proowner
join pg_catalog.pg_roles o on o.oid = f.proowner
where not o.rolsuper
  and f.object is not null
union all
select e.extname::text, 'owner', 'extension ' || pg_catalog.quote_ident(e.extname), pg_catalog.convert_to(o.rolname::text, n.name)
from pg_catalog.pg_extension e
cross join encoding n
join pg_catalog.pg_roles o on o.oid = e.extowner
where not o.rolsuper
order by 1, 2, 3
