-- The span that asked for a job, where spans are collected.

ALTER TABLE jobs ADD COLUMN traceparent TEXT;
