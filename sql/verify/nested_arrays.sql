-- Whether any expression that a dump spells out has an array of arrays in it. What a server prints of (ARRAY[a, b])::text[] does not say
-- what a and b are; what it has stored does: an ArrayExpr whose elements are arrays says so (_outArrayExpr in outfuncs.c). A space in a
-- name has a backslash before it there, so nothing else reads like it.
--
-- Each expression comes with the object that is, or is no, member of an extension: no dump spells those. From 16384 on: below are those
-- that the server was made with. Columns that a server has not yet are found beside the subquery instead.
select exists (
    select
    from (
        select 'pg_catalog.pg_class'::regclass as classid, r.ev_class as objid, r.ev_action::text as tree
        from pg_catalog.pg_rewrite r
        where r.oid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, r.ev_class, r.ev_qual::text
        from pg_catalog.pg_rewrite r
        where r.oid >= 16384
        union all
        select case when c.conrelid <> 0 then 'pg_catalog.pg_class'::regclass else 'pg_catalog.pg_type'::regclass end,
               case when c.conrelid <> 0 then c.conrelid else c.contypid end,
               c.conbin::text
        from pg_catalog.pg_constraint c
        where c.oid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, d.adrelid, d.adbin::text
        from pg_catalog.pg_attrdef d
        where d.oid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, i.indrelid, t.tree::text
        from pg_catalog.pg_index i
        cross join lateral (values (i.indexprs), (i.indpred)) t (tree)
        where i.indexrelid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, p.polrelid, t.tree::text
        from pg_catalog.pg_policy p
        cross join lateral (values (p.polqual), (p.polwithcheck)) t (tree)
        where p.oid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, t.tgrelid, t.tgqual::text
        from pg_catalog.pg_trigger t
        where t.oid >= 16384
        union all
        select 'pg_catalog.pg_class'::regclass, p.partrelid, p.partexprs::text
        from pg_catalog.pg_partitioned_table p
        where p.partrelid >= 16384
        union all
        select 'pg_catalog.pg_type'::regclass, t.oid, t.typdefaultbin::text
        from pg_catalog.pg_type t
        where t.oid >= 16384
        union all
        select 'pg_catalog.pg_proc'::regclass, f.oid, f.tree
        from (select null::text as prosqlbody) since_14
        cross join lateral (
            select p.oid, t.tree
            from pg_catalog.pg_proc p
            cross join lateral (values (p.proargdefaults::text), (prosqlbody::text)) t (tree)
            where p.oid >= 16384
        ) f
        union all
        select 'pg_catalog.pg_class'::regclass, s.stxrelid, s.tree
        from (select null::text as stxexprs) since_14
        cross join lateral (
            select s.stxrelid, stxexprs::text as tree
            from pg_catalog.pg_statistic_ext s
            where s.oid >= 16384
        ) s
        union all
        select 'pg_catalog.pg_class'::regclass, r.prrelid, r.tree
        from (select null::text as prqual) since_15
        cross join lateral (
            select r.prrelid, prqual::text as tree
            from pg_catalog.pg_publication_rel r
        ) r
    ) e
    where pg_catalog.strpos(e.tree, ':multidims true') > 0
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = e.classid
                        and d.objid = e.objid
                        and d.objsubid = 0
                        and d.deptype = 'e')
) as nested
