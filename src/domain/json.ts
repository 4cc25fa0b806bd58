/** What may be stored as jsonb or sent as JSON: no undefined, no dates, no functions. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
