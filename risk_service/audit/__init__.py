"""The audit trail: every decision, append-only, hash-chained, durable before its answer leaves.

decision    one decision and its canonical form
chain       the hash chain over them
journal     the local file that makes a row durable
database    the tables that rows end up in
anchor      how far the trail was known to be right, beside the journal
inspection  what is wrong with a trail
mover       carries rows from the journal to the database
trail       all of it behind one door
"""
