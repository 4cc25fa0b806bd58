/** Generated from docs/api/openapi.json by tools/generate-sdk.ts. */

export interface paths {
    "/v1/plans": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Say what a change would do
         * @description Steps, placement, cost, quota and policy. Nothing but the plan itself is stored, and no endpoint is changed.
         */
        post: operations["planMake"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/plans/{plan}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show a plan */
        get: operations["planShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/orders": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List orders, newest first */
        get: operations["orderList"];
        put?: never;
        /**
         * Order a change
         * @description Either a plan made before, approved by its hash, or a change that is planned and ordered in one go, within bounds.
         */
        post: operations["orderPlace"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/orders/{order}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show an order */
        get: operations["orderShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/runs/{run}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show a run with the state of every step */
        get: operations["runShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/runs/{run}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Ask a run to stop and undo what it did */
        post: operations["runCancel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/runs/{run}/decisions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Decide for a step that waits for a person */
        post: operations["runDecide"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List vApps */
        get: operations["vappList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show what is really there: machines, addresses, exposures, every fact with source and time */
        get: operations["vappShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/exec": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Run a command in a machine of the vApp
         * @description The output is not kept: a repetition with the same Idempotency-Key is refused instead of run again.
         */
        post: operations["vappExec"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/bill": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show what the vApp costs, line by line */
        get: operations["vappBill"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/machines": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List machines */
        get: operations["machineList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/machines/{machine}/console": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Open the serial console of a machine, as a WebSocket
         * @description Frames are bytes in both directions, at most 64 KiB each from the client. Programs send the token as a header; browsers get a ticket first and offer the subprotocols `stratiform` and `ticket.<ticket>`. Who, when, how long and how many bytes is audited, what was said is not. Close codes: 1000 the machine's side ended, 1001 the server closes, 1009 a frame was too large, 1011 the connection to the machine broke, 4000 idle for 15 minutes, 4001 open for 12 hours, 4003 no longer allowed.
         */
        get: operations["machineConsole"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/machines/{machine}/console-ticket": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Get a ticket that opens the console once, for a browser
         * @description Valid for 30 seconds, for this machine, named by the same words in both paths. Says what speaks against a console before it is opened.
         */
        post: operations["machineConsoleTicket"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/machines/{machine}/tunnel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Connect to a TCP port of a machine, as a WebSocket
         * @description One WebSocket is one TCP connection into the machine's segment, isolated ones included. Frames are bytes, as of the console, with the same close codes; an empty frame of the client is the end of its input. The blueprint's access.ssh says who may, policy (action vapp.tunnel, context.port) to which ports.
         */
        get: operations["machineTunnel"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/machines/{machine}/ssh-keys": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Let an ssh key into a machine for a while, and learn the machine's own */
        post: operations["machineSshKey"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/vapps/{vapp}/layers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show the truth layer by layer: desired and observed, source and age, who set it, what breaks if it goes */
        get: operations["vappLayers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/images": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List images */
        get: operations["imageList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/images/{image}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show an image */
        get: operations["imageShow"];
        /** Add an image or replace its variants */
        put: operations["imagePut"];
        post?: never;
        /**
         * Take an image out of the catalogue, and its copies from the endpoints
         * @description Refused while machines use it, naming them.
         */
        delete: operations["imageDelete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/offerings": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List offerings, newest version first */
        get: operations["offeringList"];
        put?: never;
        /**
         * Publish a version of an offering
         * @description A published version never changes: the same document again is accepted, another one is refused.
         */
        post: operations["offeringPublish"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/offerings/{offering}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show an offering with its parameters */
        get: operations["offeringShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/sites": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List sites */
        get: operations["siteList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/sites/{site}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show a site */
        get: operations["siteShow"];
        /**
         * Add or change a site
         * @description With If-Match only if it still has that generation; with If-None-Match: * only if it is new.
         */
        put: operations["sitePut"];
        post?: never;
        /**
         * Forget a site
         * @description Refused while endpoints or vApps are there, naming them.
         */
        delete: operations["siteDelete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/endpoints": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List endpoints with what was last seen there */
        get: operations["endpointList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/endpoints/{endpoint}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show an endpoint */
        get: operations["endpointShow"];
        /**
         * Add or change an endpoint, and look at it
         * @description With If-Match only if it still has that generation; with If-None-Match: * only if it is new.
         */
        put: operations["endpointPut"];
        post?: never;
        /**
         * Forget an endpoint
         * @description Refused while it holds machines of ours, naming them. Nothing at the endpoint is touched.
         */
        delete: operations["endpointDelete"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/endpoints/{endpoint}/check": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Check an endpoint now, step by step
         * @description Answers also when it fails: see `ok` and the lines. What the endpoint says of itself is written down.
         */
        post: operations["endpointCheck"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/endpoint-checks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Check an endpoint before it is added, step by step
         * @description Writes nothing; the configuration with its secrets is forgotten at once.
         */
        post: operations["endpointTry"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/inventory": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List machines at the endpoints that are not ours
         * @description As last seen, of managed and observed endpoints; owner and age come with the record that says so.
         */
        get: operations["inventoryList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List or follow events, in the order of their position
         * @description With `Accept: text/event-stream` the answer is a stream of server-sent events that never ends. The id of each is its position: a client that reconnects with Last-Event-ID misses none and gets none twice. Lines that begin with a colon are heartbeats.
         */
        get: operations["eventList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List audit records, oldest first */
        get: operations["auditList"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/v1/bill": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Show the bill of a project or a vApp */
        get: operations["billShow"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AuditList: {
            items: components["schemas"]["AuditRecord"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        AuditRecord: {
            id: number;
            at: string;
            principal: string | null;
            action: string;
            resource: string;
            decision: string;
            reason: string;
            requestId: string;
            data: unknown;
            /** @description Place in the organization's chain; null until the sealer came by */
            sealed: number | null;
            hash: string | null;
        };
        Bill: {
            vapp: string | null;
            project: string;
            currency: string;
            from: string;
            to: string;
            total: string;
            lines: {
                resource: string;
                name: string;
                kind: string;
                meter: string;
                from: string;
                to: string;
                quantity: string;
                unitPrice: string;
                amount: string;
            }[];
        };
        ConsoleTicket: {
            /** @description Offer it as the subprotocol `ticket.<ticket>` beside `stratiform`; it opens one console once */
            ticket: string;
            expiresAt: string;
        };
        DecisionRequest: {
            /** @description Id of the step; may be left out when one waits */
            step?: string;
            /** @enum {string} */
            decision: "confirm" | "refuse";
            /** @description How you know; stays on record */
            reason: string;
        };
        Endpoint: {
            id: string;
            name: string;
            site: string;
            provider: string;
            /**
             * @description `observe`: looked at and never touched; nothing is placed there
             * @enum {string}
             */
            mode: "manage" | "observe";
            /** @enum {string} */
            state: "unchecked" | "ready" | "unreachable";
            product: string | null;
            host: string | null;
            architecture: string | null;
            accelerator: string | null;
            vcpus: number | null;
            memoryMiB: number | null;
            machineKinds: string[];
            /** @description Machines of ours there, in any state but deleted */
            machines: number;
            checkedAt: string | null;
            generation: number;
        };
        EndpointCheck: {
            endpoint: string;
            /** @description No step was refused */
            ok: boolean;
            lines: {
                /** @enum {string} */
                step: "configuration" | "address" | "connection" | "certificate" | "protocol" | "rights" | "version" | "capabilities" | "capacity";
                /**
                 * @description `skipped`: not needed here, or an earlier step was refused
                 * @enum {string}
                 */
                outcome: "ok" | "refused" | "skipped";
                says: string;
                /** @description What to change so that it passes; null when nothing is to be changed */
                fix: string | null;
            }[];
        };
        EndpointList: {
            items: components["schemas"]["Endpoint"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        EndpointPut: {
            site: string;
            provider: string;
            config: unknown;
            /**
             * @default manage
             * @enum {string}
             */
            mode?: "manage" | "observe";
        };
        EndpointWrite: {
            name: string;
            site: string;
            provider: string;
            config: unknown;
            /**
             * @default manage
             * @enum {string}
             */
            mode?: "manage" | "observe";
        };
        Event: {
            /** @constant */
            specversion: "1.0";
            id: string;
            source: string;
            type: string;
            subject: string;
            time: string;
            position: number;
            vapp: string | null;
            seq: number | null;
            data: unknown;
        };
        EventList: {
            items: components["schemas"]["Event"][];
            /** @description Give it as `after` to go on, also when there was nothing */
            next: string;
        };
        ExecRequest: {
            machine: string;
            argv: string[];
            stdin?: string;
            /** @default 30000 */
            timeoutMs?: number;
        };
        ExecResult: {
            exitCode: number;
            stdout: string;
            stderr: string;
            truncated: boolean;
        };
        Exposure: {
            id: string;
            name: string;
            machine: string;
            segment: string;
            targetPort: number;
            address: string | null;
            port: number | null;
            url: string | null;
            /** @enum {string} */
            state: "planned" | "realised" | "removed";
        };
        Image: {
            id: string;
            name: string;
            recipeHash: string;
            variants: {
                /** @enum {string} */
                format: "qcow2" | "lxd" | "sim";
                digest: string;
                sizeBytes: number;
                path: string | null;
            }[];
            /** @description Machines made from it, in any state but deleted */
            machines: number;
            /** @description Copies of its variants at endpoints, as last seen there */
            cachedAt: {
                endpoint: string;
                format: string;
                sizeBytes: number;
                seenAt: string;
            }[];
            createdAt: string;
        };
        ImageList: {
            items: components["schemas"]["Image"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        ImagePut: {
            recipeHash: string;
            variants: {
                /** @enum {string} */
                format: "qcow2" | "lxd" | "sim";
                digest: string;
                sizeBytes: number;
                path: string | null;
            }[];
        };
        ImageRemoved: {
            name: string;
            /** @description Endpoints that have no copy any more */
            removedFrom: string[];
            /** @description Endpoints whose copy could not be removed */
            keptAt: {
                endpoint: string;
                why: string;
            }[];
        };
        InventoryList: {
            items: components["schemas"]["InventoryMachine"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        InventoryMachine: {
            /** @description For paging */
            id: number;
            endpoint: string;
            /**
             * @description How its endpoint is used
             * @enum {string}
             */
            mode: "manage" | "observe";
            site: string;
            provider: string;
            name: string;
            /** @description The endpoint's own id of it */
            externalId: string;
            /** @enum {string} */
            kind: "vm" | "container";
            power: string;
            vcpus: number;
            memoryMiB: number;
            nics: {
                mac: string;
                attachment: string;
            }[];
            volumes: {
                name: string;
                sizeMiB: number;
            }[];
            description: string | null;
            /** @description A guess, with the record it comes from; null when nothing says */
            owner: {
                who: string;
                source: string;
            } | null;
            age: {
                since: string;
                /** @description Record that says so; `first seen by us`: it may be older */
                source: string;
                /** @description It may be older than that */
                isAtLeast: boolean;
            };
            firstSeen: string;
            lastSeen: string;
            goneAt: string | null;
        };
        Layer: {
            /** @enum {string} */
            layer: "access" | "application" | "processing" | "storage" | "network" | "management" | "security";
            /** @enum {string} */
            state: "as desired" | "differs" | "unknown" | "none";
            /** @description One sentence */
            summary: string;
            items: components["schemas"]["LayerItem"][];
        };
        LayerItem: {
            subject: {
                /** @enum {string} */
                kind: "vapp" | "machine" | "volume" | "snapshot" | "segment" | "exposure" | "balancer" | "secret" | "endpoint" | "principal";
                name: string;
            };
            /** @description Attribute, e.g. power, address, health */
            name: string;
            desired: unknown;
            observed: unknown;
            /** @description Null: nothing to compare */
            agrees: boolean | null;
            /** @description Where it was observed, e.g. libvirt:local, probe, ledger */
            source: string | null;
            /** @description When it was observed, RFC 3339 UTC */
            observedAt: string | null;
            /** @description Observed longer ago than this attribute is looked at */
            stale: boolean;
            why: {
                /** @description What set the desired value, in words */
                text: string;
                /** @description Id of the order that set it */
                order: string | null;
                /** @description Name of the process of that order */
                process: string | null;
                /** @description Who placed that order */
                principal: string | null;
                /** @description What policy said to it */
                policy: string | null;
            } | null;
            /** @description What breaks if it goes; null when nothing does */
            impact: string | null;
        };
        Machine: {
            id: string;
            name: string;
            vapp: string;
            tier: string;
            ordinal: number;
            /** @enum {string} */
            kind: "vm" | "container";
            site: string;
            /** @description Name of the endpoint */
            endpoint: string;
            provider: string;
            /** @description Its name at the endpoint, for virsh and lxc */
            externalName: string;
            image: string;
            size: string;
            vcpus: number;
            memoryMiB: number;
            /** @enum {string} */
            desired: "running" | "stopped" | "deleted";
            /** @enum {string} */
            state: "planned" | "running" | "stopped" | "paused" | "crashed" | "missing" | "unknown" | "deleted";
            stateAt: string;
            healthyAt: string | null;
            /** @description Why it landed there */
            reason: string;
            addresses: {
                segment: string;
                address: string;
                mac: string;
            }[];
            facts: {
                /** @enum {string} */
                layer: "access" | "application" | "processing" | "storage" | "network" | "management" | "security";
                /** @description Attribute, e.g. power, address, health */
                name: string;
                value: unknown;
                /** @description Where it was observed, e.g. libvirt:local */
                source: string;
                /** @description When it was observed, RFC 3339 UTC */
                observedAt: string;
            }[];
        };
        MachineList: {
            items: components["schemas"]["Machine"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        Offering: {
            id: string;
            name: string;
            version: string;
            summary: string;
            digest: string;
            parameters: unknown;
            document: unknown;
            createdAt: string;
        };
        /** @description An offering as in `offerings/*.yaml`, as JSON */
        OfferingDocument: {
            offering: string;
            version: string;
        } & {
            [key: string]: unknown;
        };
        OfferingList: {
            items: components["schemas"]["Offering"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        Order: {
            id: string;
            project: string;
            /** @description Who ordered */
            principal: string;
            plan: string;
            vapp: string;
            vappName: string;
            run: string;
            action: string;
            summary: string;
            bounds: {
                /** @description Decimal amount in the currency of the rate card */
                maxCostPerMonth: string;
                maxDowntimeSeconds: number;
                /** @description Names of the sites the vApp may touch */
                sites: string[];
                /** @description Kinds of step that may be carried out */
                kinds: string[];
            };
            /** @enum {string} */
            state: "running" | "succeeded" | "compensated" | "failed";
            createdAt: string;
            finishedAt: string | null;
        };
        OrderList: {
            items: components["schemas"]["Order"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        OrderRequest: {
            plan: string;
            hash: string;
        } | {
            /** @description Name of a process: deploy, delete, start, stop, repair, ... */
            action: string;
            /** @description Id or name of the vApp; not for deploy */
            vapp?: string;
            /** @description Name of the project; default `default` */
            project?: string;
            /** @default {} */
            input?: {
                [key: string]: unknown;
            };
            bounds?: {
                /** @description Decimal amount in the currency of the rate card */
                maxCostPerMonth?: string;
                maxDowntimeSeconds?: number;
                /** @description Names of the sites the vApp may touch */
                sites?: string[];
                /** @description Kinds of step that may be carried out */
                kinds?: string[];
            };
        };
        Plan: {
            id: string;
            /** @description sha256 over intent, resolved versions and bounds; an order repeats it */
            hash: string;
            action: string;
            vapp: string | null;
            input: unknown;
            createdAt: string;
            expiresAt: string;
            summary: string;
            steps: {
                id: string;
                kind: string;
                title: string;
                input: unknown;
                after: string[];
                /** @description Whether a failure later on can undo this step */
                undoable: boolean;
                /** @description Once it succeeded the run only goes forward */
                final: boolean;
                effect: {
                    creates: string[];
                    changes: string[];
                    removes: string[];
                };
            }[];
            placements: {
                machine: string;
                /** @enum {string} */
                kind: "vm" | "container";
                /** @description Name of the endpoint */
                endpoint: string;
                /** @description The facts that decided */
                reason: string;
            }[];
            cost: {
                currency: string;
                perHourBefore: string;
                perHourAfter: string;
                perMonthBefore: string;
                /** @description 730 hours */
                perMonthAfter: string;
            };
            quota: {
                dimension: string;
                before: number;
                after: number;
                quota: number;
            }[];
            policy: {
                action: string;
                /** @enum {string} */
                decision: "permit" | "forbid";
                reason: string;
            }[];
            downtimeSeconds: number;
            reversible: boolean;
            resolved: {
                /** @description name@version#digest */
                offering: string | null;
                /** @description name@version */
                process: string;
                /** @description name#digest */
                images: string[];
                /** @description Digest of the policy set */
                policy: string;
                /** @description name#digest */
                rateCard: string;
                /** @description Generation of the vApp this plan was made against; null for a deployment */
                generation: number | null;
            };
            bounds: {
                /** @description Decimal amount in the currency of the rate card */
                maxCostPerMonth: string;
                maxDowntimeSeconds: number;
                /** @description Names of the sites the vApp may touch */
                sites: string[];
                /** @description Kinds of step that may be carried out */
                kinds: string[];
            };
        };
        PlanRequest: {
            /** @description Name of a process: deploy, delete, start, stop, repair, ... */
            action: string;
            /** @description Id or name of the vApp; not for deploy */
            vapp?: string;
            /** @description Name of the project; default `default` */
            project?: string;
            /** @default {} */
            input?: {
                [key: string]: unknown;
            };
        };
        Problem: {
            /** @description urn:stratiform:problem:<code> */
            type: string;
            /** @description The code in words; the same for every problem of that code */
            title: string;
            status: number;
            /** @description What happened here; may be shown to people */
            detail: string;
            /**
             * @description For programs: decides what to do
             * @enum {string}
             */
            code: "invalid_input" | "unauthenticated" | "forbidden" | "not_found" | "conflict" | "generation_moved" | "bound_broken" | "idempotency_mismatch" | "quota_exceeded" | "no_capacity" | "not_ours" | "capability_missing" | "endpoint_refused" | "endpoint_unreachable" | "endpoint_busy" | "timeout" | "cancelled" | "guest_failed" | "too_many_requests" | "unavailable" | "internal";
            /** @description Whether the same request may succeed later */
            retryable: boolean;
            /** @description Finds the request in log and audit */
            requestId: string;
            /** @description One per broken constraint */
            refusals: {
                /** @description The rule that was broken, with its figures */
                constraint: string;
                /** @description Where the rule comes from */
                source: string;
                /** @description The nearest change that would be accepted */
                nearest: string;
            }[];
        };
        Run: {
            id: string;
            order: string;
            vapp: string;
            action: string;
            /** @description enqueued, running, waiting, succeeded, compensated, failed */
            state: string;
            createdAt: string;
            finishedAt: string | null;
            steps: {
                id: string;
                kind: string;
                title: string;
                after: string[];
                /** @description pending, running, succeeded, failed, undone, ... */
                state: string;
                attempts: number;
                startedAt: string | null;
                finishedAt: string | null;
                error: {
                    code: string;
                    message: string;
                } | null;
                /** @description What it waits for; null when it does not */
                waiting: string | null;
                /** @description What a person decided where the run could not */
                decision: {
                    /** @enum {string} */
                    decision: "confirm" | "refuse";
                    principal: string;
                    reason: string;
                    at: string;
                } | null;
            }[];
        };
        Segment: {
            id: string;
            name: string;
            isolated: boolean;
            externalName: string;
            prefix: string | null;
            gateway: string | null;
            /** @enum {string} */
            state: "planned" | "realised" | "removed";
        };
        Site: {
            id: string;
            name: string;
            /** @enum {string} */
            kind: "own" | "partner" | "public";
            location: string;
            fabric: {
                kind: string;
            };
            generation: number;
        };
        SiteList: {
            items: components["schemas"]["Site"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        SitePut: {
            /**
             * @default own
             * @enum {string}
             */
            kind?: "own" | "partner" | "public";
            /** @default here */
            location?: string;
            /**
             * @default {
             *       "kind": "none",
             *       "config": {}
             *     }
             */
            fabric?: {
                /** @description linux, sim, or none for places that are only observed */
                kind: string;
                config: unknown;
            };
        };
        Snapshot: {
            id: string;
            name: string;
            /** @enum {string} */
            state: "planned" | "realised" | "removed";
            /** @description Names of the machines it holds */
            machines: string[];
            takenAt: string | null;
        };
        SshKey: {
            user: string;
            port: number;
            /** @description Public key of the machine, for known_hosts; it came through the endpoint, not the network */
            hostKey: string;
            expiresAt: string;
        };
        SshKeyRequest: {
            publicKey: string;
            /**
             * @description How long it opens the door; sessions outlive it
             * @default 60
             */
            seconds?: number;
        };
        Vapp: {
            id: string;
            name: string;
            project: string;
            site: string;
            /** @description name@version */
            offering: string;
            parameters: unknown;
            /** @enum {string} */
            desired: "running" | "stopped" | "deleted";
            /** @enum {string} */
            state: "provisioning" | "active" | "degraded" | "stopped" | "changing" | "deleting" | "deleted" | "failed";
            generation: number;
            /** @description The run that holds the vApp now */
            run: string | null;
            costPerHour: string;
            currency: string;
            createdAt: string;
            deletedAt: string | null;
            /** @description When a deleted vApp is purged; until then it can be restored */
            deleteAt: string | null;
            machines: components["schemas"]["Machine"][];
            segments: components["schemas"]["Segment"][];
            exposures: components["schemas"]["Exposure"][];
            snapshots: components["schemas"]["Snapshot"][];
        };
        VappLayers: {
            /** @description Name of the vApp */
            vapp: string;
            /** @description When this was put together, RFC 3339 UTC */
            at: string;
            /** @description All seven, always, in the same order */
            layers: components["schemas"]["Layer"][];
        };
        VappList: {
            items: components["schemas"]["VappSummary"][];
            /** @description Give it as `after` to get the next page; null: this was the last */
            next: string | null;
        };
        VappSummary: {
            id: string;
            name: string;
            project: string;
            site: string;
            /** @description name@version */
            offering: string;
            parameters: unknown;
            /** @enum {string} */
            desired: "running" | "stopped" | "deleted";
            /** @enum {string} */
            state: "provisioning" | "active" | "degraded" | "stopped" | "changing" | "deleting" | "deleted" | "failed";
            generation: number;
            /** @description The run that holds the vApp now */
            run: string | null;
            costPerHour: string;
            currency: string;
            createdAt: string;
            deletedAt: string | null;
            /** @description When a deleted vApp is purged; until then it can be restored */
            deleteAt: string | null;
        };
    };
    responses: {
        /** @description `invalid_input`: The request is not valid */
        Problem400: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `unauthenticated`: A valid token is required */
        Problem401: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `forbidden`: Policy does not allow this */
        Problem403: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `not_found`: There is no such object */
        Problem404: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `conflict`: The object is in a state that does not allow this; `bound_broken`: The change would break a promised bound; `quota_exceeded`: The quota does not allow this; `no_capacity`: No endpoint can take this machine; `not_ours`: The object belongs to somebody else and is left alone; `cancelled`: The work was cancelled */
        Problem409: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `generation_moved`: The object changed since the plan was made */
        Problem412: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `idempotency_mismatch`: The idempotency key was used for another request; `capability_missing`: The endpoint cannot do this */
        Problem422: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `too_many_requests`: Too many requests */
        Problem429: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `internal`: An internal error happened */
        Problem500: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `endpoint_refused`: The endpoint refused the request; `guest_failed`: The guest reported a failure */
        Problem502: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `endpoint_unreachable`: The endpoint does not answer; `endpoint_busy`: The endpoint is busy; `unavailable`: The service is not ready */
        Problem503: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description `timeout`: The time limit was reached */
        Problem504: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    planMake: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PlanRequest"];
            };
        };
        responses: {
            /** @description Say what a change would do */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Plan"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    planShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a plan */
                plan: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show a plan */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Plan"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    orderList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Id of the last item of the page before */
                after?: string;
                /** @description Id or name of a vApp */
                vapp?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List orders, newest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OrderList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    orderPlace: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OrderRequest"];
            };
        };
        responses: {
            /** @description Order a change */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Order"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    orderShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of an order */
                order: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show an order */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Order"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    runShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of a run */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show a run with the state of every step */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    runCancel: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id of a run */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ask a run to stop and undo what it did */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    runDecide: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id of a run */
                run: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["DecisionRequest"];
            };
        };
        responses: {
            /** @description Decide for a step that waits for a person */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Run"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    vappList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Id of the last item of the page before */
                after?: string;
                /** @description Name of a project */
                project?: string;
                /** @description Also those that were deleted */
                deleted?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List vApps */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VappList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    vappShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show what is really there: machines, addresses, exposures, every fact with source and time */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Vapp"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    vappExec: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ExecRequest"];
            };
        };
        responses: {
            /** @description Run a command in a machine of the vApp */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ExecResult"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    vappBill: {
        parameters: {
            query?: {
                /** @description RFC 3339; default: the beginning */
                from?: string;
                /** @description RFC 3339; default: now */
                to?: string;
            };
            header?: never;
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show what the vApp costs, line by line */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bill"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    machineList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Id of the last item of the page before */
                after?: string;
                /** @description Id or name of a vApp */
                vapp?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List machines */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MachineList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    machineConsole: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
                /** @description Name of a machine of the vApp */
                machine: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Open the serial console of a machine, as a WebSocket */
            101: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    machineConsoleTicket: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
                /** @description Name of a machine of the vApp */
                machine: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Get a ticket that opens the console once, for a browser */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ConsoleTicket"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    machineTunnel: {
        parameters: {
            query?: {
                /** @description TCP port of the machine */
                port?: number;
                /** @description Name of the segment; default: the machine's first */
                segment?: string;
            };
            header?: never;
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
                /** @description Name of a machine of the vApp */
                machine: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Connect to a TCP port of a machine, as a WebSocket */
            101: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    machineSshKey: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
                /** @description Name of a machine of the vApp */
                machine: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SshKeyRequest"];
            };
        };
        responses: {
            /** @description Let an ssh key into a machine for a while, and learn the machine's own */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SshKey"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    vappLayers: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id or name of a vApp */
                vapp: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show the truth layer by layer: desired and observed, source and age, who set it, what breaks if it goes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VappLayers"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    imageList: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List images */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImageList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    imageShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an image */
                image: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show an image */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Image"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    imagePut: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an image */
                image: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ImagePut"];
            };
        };
        responses: {
            /** @description Add an image or replace its variants */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Image"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    imageDelete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an image */
                image: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Take an image out of the catalogue, and its copies from the endpoints */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImageRemoved"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    offeringList: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List offerings, newest version first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OfferingList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    offeringPublish: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["OfferingDocument"];
            };
        };
        responses: {
            /** @description Publish a version of an offering */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offering"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    offeringShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an offering, or name@version */
                offering: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show an offering with its parameters */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Offering"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    siteList: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List sites */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SiteList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    siteShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a site */
                site: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show a site */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Site"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    sitePut: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag the change was decided on */
                "If-Match"?: string;
                /** @description `*`: only when it is new */
                "If-None-Match"?: string;
            };
            path: {
                /** @description Name of a site */
                site: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SitePut"];
            };
        };
        responses: {
            /** @description Add or change a site */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Site"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            412: components["responses"]["Problem412"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    siteDelete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of a site */
                site: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Forget a site */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    endpointList: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List endpoints with what was last seen there */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndpointList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    endpointShow: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an endpoint */
                endpoint: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show an endpoint */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Endpoint"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    endpointPut: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag the change was decided on */
                "If-Match"?: string;
                /** @description `*`: only when it is new */
                "If-None-Match"?: string;
            };
            path: {
                /** @description Name of an endpoint */
                endpoint: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EndpointPut"];
            };
        };
        responses: {
            /** @description Add or change an endpoint, and look at it */
            200: {
                headers: {
                    ETag?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Endpoint"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            412: components["responses"]["Problem412"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            502: components["responses"]["Problem502"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    endpointDelete: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Name of an endpoint */
                endpoint: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Forget an endpoint */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    endpointCheck: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path: {
                /** @description Name of an endpoint */
                endpoint: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Check an endpoint now, step by step */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndpointCheck"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    endpointTry: {
        parameters: {
            query?: never;
            header?: {
                /** @description A repetition with the same key is carried out once and answered the same */
                "Idempotency-Key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EndpointWrite"];
            };
        };
        responses: {
            /** @description Check an endpoint before it is added, step by step */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EndpointCheck"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            404: components["responses"]["Problem404"];
            409: components["responses"]["Problem409"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    inventoryList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Id of the last item of the page before */
                after?: string;
                /** @description Only of this endpoint */
                endpoint?: string;
                /** @description Also those that are not there any more */
                gone?: "true" | "false";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List machines at the endpoints that are not ours */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InventoryList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    eventList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Position of the last event already seen; 0: from the first, `latest`: only what comes */
                after?: "latest" | number;
                /** @description Id or name of a vApp */
                vapp?: string;
            };
            header?: {
                /** @description Position to resume a stream at; wins over `after` */
                "Last-Event-ID"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List or follow events, in the order of their position */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EventList"];
                    "text/event-stream": string;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    auditList: {
        parameters: {
            query?: {
                limit?: number;
                /** @description Id of the last record already seen */
                after?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description List audit records, oldest first */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AuditList"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
    billShow: {
        parameters: {
            query?: {
                /** @description RFC 3339; default: the beginning */
                from?: string;
                /** @description RFC 3339; default: now */
                to?: string;
                /** @description Name of a project; default `default` */
                project?: string;
                /** @description Id or name of a vApp */
                vapp?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Show the bill of a project or a vApp */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bill"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            429: components["responses"]["Problem429"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
        };
    };
}
