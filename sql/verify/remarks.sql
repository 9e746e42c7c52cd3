-- What is said of objects that have no entry of their own in a dump: comments on constraints and triggers that a table has from its
-- parents, on what makes a view a view, and on the constraint of a constraint trigger; comments, labels and grants on the row types of
-- relations. And labels of large objects.
with relation as (
    select c.oid, c.relname, c.reltype, n.nspname
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm', 'v', 'f')
      and c.relpersistence <> 't'
      and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'pgconvoy', 'pgconvoy_follow')
), encoding as (
    -- As bytes: in a SQL_ASCII database a text need not be one in any encoding.
    select case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end as name
), inherited as (
    -- A foreign key that a partition has from its parent is called as the server likes.
    select r.nspname, r.relname, d.description,
           case when k.contype = 'f' and fc.oid is not null
                then pg_catalog.format('its foreign key from its parent, to %I.%I', fn.nspname, fc.relname)
                else 'its inherited constraint ' || pg_catalog.quote_ident(k.conname) end as part
    from pg_catalog.pg_description d
    join pg_catalog.pg_constraint k on k.oid = d.objoid
    join relation r on r.oid = k.conrelid
    left join pg_catalog.pg_class fc on fc.oid = k.confrelid
    left join pg_catalog.pg_namespace fn on fn.oid = fc.relnamespace
    where d.classoid = 'pg_catalog.pg_constraint'::regclass
      and d.objsubid = 0
      and (k.contype = 'f' and coalesce(pg_catalog.to_jsonb(k) ->> 'conparentid', '0') <> '0'
           or k.contype in ('c', 'n') and not k.conislocal)
)
select 'comment' as what, i.nspname::text as schema, i.relname::text as name, i.part as part,
       pg_catalog.convert_to(string_agg(i.description, '; ' order by i.description collate "C"), max(e.name)) as value
from inherited i
cross join encoding e
group by i.nspname, i.relname, i.part
union all
-- Version 15 stopped to call those of partitions internal; which of them come from a parent is known from 13 on.
select 'comment', r.nspname::text, r.relname::text, 'its trigger ' || pg_catalog.quote_ident(t.tgname) || ' from its parent',
       pg_catalog.convert_to(d.description, e.name)
from relation r
join pg_catalog.pg_trigger t on t.tgrelid = r.oid
join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_trigger'::regclass and d.objoid = t.oid and d.objsubid = 0
cross join encoding e
where t.tgisinternal
   or coalesce(pg_catalog.to_jsonb(t) ->> 'tgparentid', '0') <> '0'
union all
select 'comment', r.nspname::text, r.relname::text, 'its rule "_RETURN"', pg_catalog.convert_to(d.description, e.name)
from relation r
join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.rulename = '_RETURN'
join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_rewrite'::regclass and d.objoid = w.oid and d.objsubid = 0
cross join encoding e
union all
select 'comment', r.nspname::text, r.relname::text, 'the constraint of its trigger ' || pg_catalog.quote_ident(k.conname),
       pg_catalog.convert_to(d.description, e.name)
from relation r
join pg_catalog.pg_constraint k on k.conrelid = r.oid and k.contype = 't'
join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_constraint'::regclass and d.objoid = k.oid and d.objsubid = 0
cross join encoding e
union all
select 'comment', r.nspname::text, r.relname::text, 'its row type', pg_catalog.convert_to(d.description, e.name)
from relation r
join pg_catalog.pg_description d on d.classoid = 'pg_catalog.pg_type'::regclass and d.objoid = r.reltype and d.objsubid = 0
cross join encoding e
union all
select 'security label', r.nspname::text, r.relname::text, 'its row type, by ' || l.provider, pg_catalog.convert_to(l.label, e.name)
from relation r
join pg_catalog.pg_seclabel l on l.classoid = 'pg_catalog.pg_type'::regclass and l.objoid = r.reltype and l.objsubid = 0
cross join encoding e
union all
select 'security label', null, null, 'large object ' || l.objoid || ', by ' || l.provider, pg_catalog.convert_to(l.label, e.name)
from pg_catalog.pg_seclabel l
cross join encoding e
where l.classoid = 'pg_catalog.pg_largeobject'::regclass
union all
-- Everybody may use a type, unless that was taken away. Its owner may.
select 'acl', r.nspname::text, r.relname::text, 'its row type', pg_catalog.convert_to(g.words, e.name)
from relation r
join pg_catalog.pg_type t on t.oid = r.reltype and t.typacl is not null
cross join lateral (
    select coalesce(string_agg(x.words, ', ' order by x.words collate "C"), 'USAGE to nobody else') as words
    from (select 'USAGE to ' || case when a.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(a.grantee)::text end
                     || case when a.is_grantable then ' with grant option' else '' end as words
          from pg_catalog.aclexplode(t.typacl) a
          where a.grantee <> t.typowner) x
) g
cross join encoding e
where g.words <> 'USAGE to public'
order by 1, 2, 3, 4
