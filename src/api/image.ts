import { imageRemovedSchema, imageViewSchema, imageWriteSchema } from "#domain/catalogue.ts";
import { deleteImage, listImages, putImage, showImage } from "#app/image.ts";
import { operation } from "#api/operation.ts";
import { listOf, whole } from "#api/page.ts";
import { parsed } from "#api/validation.ts";

export const imageOperations = [
  operation({
    id: "imageList",
    method: "GET",
    path: "/v1/images",
    tag: "image",
    summary: "List images",
    answer: listOf(imageViewSchema, "ImageList"),
    handle: async (ctx) => ({ body: whole(await listImages(ctx, undefined)) }),
  }),
  operation({
    id: "imageShow",
    method: "GET",
    path: "/v1/images/{image}",
    tag: "image",
    summary: "Show an image",
    answer: imageViewSchema,
    handle: async (ctx, { params }) => ({ body: await showImage(ctx, params.image) }),
  }),
  operation({
    id: "imagePut",
    method: "PUT",
    path: "/v1/images/{image}",
    tag: "image",
    summary: "Add an image or replace its variants",
    body: imageWriteSchema.omit({ name: true }).meta({ id: "ImagePut" }),
    answer: imageViewSchema,
    handle: async (ctx, { params, body }) => ({
      body: await putImage(ctx, parsed(imageWriteSchema, { ...body, name: params.image }, "path and body")),
    }),
  }),
  operation({
    id: "imageDelete",
    method: "DELETE",
    path: "/v1/images/{image}",
    tag: "image",
    summary: "Take an image out of the catalogue, and its copies from the endpoints",
    description: "Refused while machines use it, naming them.",
    answer: imageRemovedSchema,
    timeoutMs: 60_000,
    handle: async (ctx, { params }) => ({ body: await deleteImage(ctx, params.image) }),
  }),
];
