#!/usr/bin/env node
// The command line: serves, or runs one of the commands. What each does is in its own file.
import { loadConfiguration } from './config/load.ts';
import { serve } from './serve.ts';

process.exitCode = await serve(loadConfiguration({ env: process.env }), process.env);
